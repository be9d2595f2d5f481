"""What native clients train and what they remember, as the runtime and its exchanges share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite import wire
from fedlite.compression import width
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.plan import CompressionPlan
    from fedlite.compression.width import IndexMap
    from fedlite.engine.pool import Pool
    from fedlite.learning.training.records import LocalConfig

Array = NDArray[Any]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class PlanCost:
    """What a plan costs on one profile, from the device model: a step takes `fixed_s + per_sample_s * samples`.

    `low` and `high` are the factors of the prediction's band, `calibration` says by what the device was calibrated.
    """

    fixed_s: float
    per_sample_s: float
    peak_bytes: float
    inference_s: float
    low: float
    high: float
    calibration: str


@dataclass(frozen=True)
class NativeTask:
    """What the clients of a run train: everything that the runtime needs to know about it.

    Attributes
    ----------
    names, dtypes : tuples
        Keys of the model's state dict, in order, and the types of its arrays.
    plans, maps : per plan
        The compression plan, and where its tensors lie in the full model.
    plan_of_profile : ndarray of int
        Which plan each profile of the population follows.
    costs : per profile
        What its plan costs there.
    clients : int
        Number of data partitions; device d holds partition `d % clients`.
    examples, test_examples : ndarray of int, shape (clients,)
    macs : per plan
        Multiply-accumulates of training on one sample, forward and backward.
    metrics : tuple of str
        What an evaluation tells, by name.
    """

    names: tuple[str, ...]
    dtypes: tuple[np.dtype[Any], ...]
    plans: tuple[CompressionPlan, ...]
    maps: tuple[tuple[IndexMap, ...], ...]
    plan_of_profile: NDArray[np.int64]
    costs: tuple[PlanCost, ...]
    clients: int
    examples: NDArray[np.int64]
    test_examples: NDArray[np.int64]
    sample_bytes: int
    macs: tuple[float, ...]
    local: LocalConfig
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class LocalGuard:
    """What every device does to its update before it leaves: clip, then add noise. Servers may ask for clipping too."""

    clipping_norm: float | None = None
    noise_std: float = 0.0


class NativeClients:
    """The clients of a run on the native trainer: what they train, where it runs, and what they remember.

    Parameters
    ----------
    task : NativeTask
    pool : Pool
        Runs chunks on `NativeWorker`s.
    profile_of : ndarray, shape (N,)
        The profile of each device.
    seed : int
    reduce : bool
        Whether the strategy is a weighted mean, so that one reply can stand for all.
    equal_weights : bool
        Whether that mean counts clients or examples.
    guard : LocalGuard
        Local differential privacy; none by default.
    """

    def __init__(
        self,
        task: NativeTask,
        pool: Pool,
        profile_of: NDArray[np.int16],
        *,
        seed: int,
        reduce: bool,
        equal_weights: bool = False,
        guard: LocalGuard | None = None,
    ) -> None:
        self.task = task
        self.pool = pool
        self.profile_of = profile_of
        self.seed = seed
        self.reduce = reduce
        self.equal_weights = equal_weights
        self.guard = guard or LocalGuard()
        self.residuals: dict[int, Array] = {}
        """What each device's uplink codec has left out so far, as one float32 vector."""
        self._encoded = 0
        self.modes: set[str] = set()
        """Execution modes that the trainer has used."""

    def slices(self, arrays: Sequence[Array], plan: int) -> list[Array]:
        """Return the part of the full model that a plan trains."""
        maps = self.task.maps[plan]
        return width.take(arrays, maps) if self.task.plans[plan].width < 1 else list(arrays)

    def downlink(self, arrays: Sequence[Array], plan: int) -> bytes:
        """Encode the global model for a plan, as it crosses the wire; each encoding rounds with a stream of its own."""
        self._encoded += 1
        rng = stream(self.seed, "downlink", self._encoded)
        return wire.encode(self.slices(arrays, plan), self.task.plans[plan].downlink, rng)
