"""What goes into local training and what comes out: plain records, no behaviour beyond checking themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from fedlite.compression.overlap import Held

Array = NDArray[Any]

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class LocalConfig:
    """How every client of a round trains.

    Attributes
    ----------
    epochs : int
        Passes over the client's own samples.
    batch_size : int
        Samples per step; the last, shorter batch of an epoch is kept.
    lr, momentum, weight_decay : float
        As in `torch.optim.SGD` (weight decay is added to the gradient). Adam ignores `momentum` and uses the
        moments (0.9, 0.999) and epsilon 1e-8 of `torch.optim.Adam`.
    optimizer : str
        "sgd" or "adam". Its state starts at zero in every job: a device keeps none between rounds.
    proximal_mu : float
        Weight of FedProx's term mu/2 * ||w - w_global||^2.
    max_steps : int, optional
        Steps after which a job stops, whatever `epochs` says.

    References
    ----------
    Li et al. 2020, "Federated optimization in heterogeneous networks", equation 2 (the proximal term).
    """

    epochs: int = 1
    batch_size: int = 16
    lr: float = 0.02
    momentum: float = 0.0
    weight_decay: float = 0.0
    optimizer: str = "sgd"
    proximal_mu: float = 0.0
    max_steps: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise UnknownNameError("optimizer", self.optimizer, list(OPTIMIZERS))
        for name in ("epochs", "batch_size", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FedliteError(f"training.{name}: got {value}, expected at least 1; write 1 or more")
        for name in ("lr", "momentum", "weight_decay", "proximal_mu"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise FedliteError(f"training.{name}: got {value}, expected a finite number >= 0; write 0 or more")
        if self.momentum and self.optimizer != "sgd":
            raise FedliteError(
                f"training.momentum: got {self.momentum} with optimizer {self.optimizer!r}, expected 0; "
                "remove it or write optimizer: sgd"
            )

    def steps(self, num_examples: int) -> int:
        """Return the number of optimiser steps that a client with `num_examples` samples takes."""
        steps = self.epochs * math.ceil(num_examples / self.batch_size)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def samples(self, num_examples: int) -> int:
        """Return the number of samples that go through the net: whole epochs, and whole batches of the last one."""
        per_epoch = max(1, math.ceil(num_examples / self.batch_size))
        epochs, steps = divmod(self.steps(num_examples), per_epoch)
        return epochs * num_examples + min(steps * self.batch_size, num_examples)


@dataclass(frozen=True)
class ClientJob:
    """One client's local training: which rows of the shared data it owns, and the seed of its randomness.

    Attributes
    ----------
    indices : NDArray[int64]
        Rows of the shared `x` and `y`, shape (n,).
    seed : int
        Names the order of its batches and its dropout masks, the same in every execution mode.
    memory : mapping
        What the parts of the plan remember on this device: name of the part -> its arrays.
    """

    indices: NDArray[np.int64]
    seed: int
    memory: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)


@dataclass(frozen=True)
class CohortResult:
    """What a chunk of K jobs learnt, in the order of the jobs.

    Attributes
    ----------
    arrays : list of NDArray
        One array per entry of the model's state dict, shape (K, *shape): client k's is `[a[k] for a in arrays]`.
    num_examples : NDArray[int64]
        Samples owned by each client, shape (K,).
    loss : NDArray[float64]
        Mean training loss per sample over the last epoch, shape (K,); NaN for a client without samples.
    steps : NDArray[int64]
        Optimiser steps taken, shape (K,).
    mode : str
        The execution mode that was used, "sequential" or "batched".
    start : list of NDArray
        What training began from, the same for all jobs: what was received, with every constraint met.
    held : list of NDArray or None
        Per array 1 where the clients hold a coordinate and 0 where they keep it at zero; None if they hold all.
    memories : list of mappings
        What the device of each job keeps of its constraints.
    """

    arrays: list[Array]
    num_examples: NDArray[np.int64]
    loss: NDArray[np.float64]
    steps: NDArray[np.int64]
    mode: str
    start: list[Array]
    held: Held | None
    memories: list[dict[str, Any]]


@dataclass(frozen=True)
class Evaluation:
    """How well one model does on one set of samples.

    Attributes
    ----------
    metrics : dict of str to float
        The objective's metrics by name, the main one first, and `loss`, the mean loss per sample.
    num_examples : int
        Samples evaluated. With none, every metric is NaN.
    """

    metrics: dict[str, float]
    num_examples: int


@dataclass(frozen=True)
class ClientEvaluation:
    """How well one model does for each client: the raw material of fairness.

    Attributes
    ----------
    client : NDArray[int64]
        The clients that own at least one sample, ascending, shape (C,).
    num_examples : NDArray[int64]
        Their samples, shape (C,).
    metrics : dict of str to NDArray[float64]
        Their metrics by name, the main one first, and their mean `loss`, each of shape (C,).
    """

    client: NDArray[np.int64]
    num_examples: NDArray[np.int64]
    metrics: dict[str, NDArray[np.float64]]
