"""What native clients train, what it costs and what they remember, as the runtime and its exchanges share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.client.downlink import Downlink
from fedlite.client.memory import DeviceMemories
from fedlite.pricing import Job, Tariff

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from fedlite.client.assignment import Assignment
    from fedlite.compression.plan import Plan
    from fedlite.compression.structure.base import Structure
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.workload import Workload
    from fedlite.engine.pool import Pool
    from fedlite.flower.tape import Tape
    from fedlite.learning.models.spec import ModelSpec
    from fedlite.learning.training.records import LocalConfig

Array = NDArray[Any]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class NativeTask:
    """What the clients of a run train: everything that the runtime needs to know about it.

    Attributes
    ----------
    spec : ModelSpec
        How the full net is built.
    names, dtypes : tuples
        Keys and types of its state dict, in order.
    assignment : Assignment
        Who follows which plan.
    profiles : sequence of DeviceProfile
    profile_of : ndarray, shape (N,)
        The profile of each device.
    workload_of : callable
        The trace of the net that a structure builds.
    clients : int
        Number of data partitions; device d holds partition `d % clients`.
    examples, test_examples : ndarray of int, shape (clients,)
    sample_bytes : int
    local : LocalConfig
    metrics : tuple of str
        What an evaluation tells, by name.
    versions : int
        Most versions of the model that the server keeps to send differences to.
    """

    spec: ModelSpec
    names: tuple[str, ...]
    dtypes: tuple[np.dtype[Any], ...]
    assignment: Assignment
    profiles: Sequence[DeviceProfile]
    profile_of: NDArray[Any]
    workload_of: Callable[[Structure], Workload]
    clients: int
    examples: Ids
    test_examples: Ids
    sample_bytes: int
    local: LocalConfig
    metrics: tuple[str, ...]
    versions: int = 16

    def training_macs(self, structure: Structure, samples: float) -> float:
        """Return the multiply-accumulates of training; a backward pass takes twice those of a forward one."""
        return 3.0 * self.workload_of(structure).step_macs * samples


@dataclass(frozen=True)
class Aggregation:
    """How the server's strategy uses replies.

    Attributes
    ----------
    mean : bool
        They enter through a weighted mean over their coordinates only, so that what a client does not hold may stand
        for itself: the mean over those that do.
    one_reply : bool
        One reply with that mean may stand for all.
    equal_weights : bool
        The mean counts clients, not examples.
    """

    mean: bool = False
    one_reply: bool = False
    equal_weights: bool = False


class NativeClients:
    """The clients of a run on the native trainer: what they train, where it runs, what it costs, what they remember.

    Parameters
    ----------
    task : NativeTask
    pool : Pool
        Runs chunks on `ClientWorker`s.
    seed : int
    aggregation : Aggregation
    tape : Tape, optional
        Records what an adversary sees.
    """

    def __init__(
        self,
        task: NativeTask,
        pool: Pool,
        *,
        seed: int,
        aggregation: Aggregation | None = None,
        tape: Tape | None = None,
    ) -> None:
        self.task = task
        self.pool = pool
        self.seed = seed
        self.aggregation = aggregation or Aggregation()
        self.tape = tape
        self.memories = DeviceMemories()
        self.downlink = Downlink(task.versions)
        self.modes: set[str] = set()
        """Execution modes that the trainer has used."""
        self._most_examples = int(task.examples.max(initial=1))
        self._tariffs: dict[Hashable, Tariff] = {}

    def tariff(self, kind: str, plan: Plan, local: LocalConfig) -> Tariff:
        """Return what the profiles ask for jobs of a kind under a plan: made once of all plans that cost the same."""
        task = self.task
        job = Job(
            samples=0.0,
            steps=None if kind == "evaluate" else 0.0,
            batch=min(local.batch_size, self._most_examples),
            optimizer=local.optimizer,
            momentum=local.momentum,
        )
        key = plan.structure.key, plan.effects, job
        if key not in self._tariffs:
            self._tariffs[key] = Tariff(task.profiles, plan, task.workload_of(plan.structure), job)
        return self._tariffs[key]
