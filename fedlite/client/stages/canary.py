"""Canaries: some data owners send a known direction in place of what they learned, or nothing, as a coin has it.

Signs are drawn at random, so that every coordinate has the same size and two canaries are almost orthogonal; whatever
comes after (error feedback, clipping, noise, the codec) treats a canary as it treats any update.

References
----------
Andrew, Kairouz, Oh, Oprea, McMahan, Suriyakumar 2023, "One-shot empirical privacy estimation for federated learning"
(canary clients with random updates).
Steinke, Nasr, Jagielski 2023, "Privacy auditing with one (1) training run", algorithm 1 (each in or out by a coin).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedlite.client.stages.base import Applied, Sending, Stage, Update
from fedlite.rng import stream
from fedlite.wire import is_float

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]


@dataclass(frozen=True)
class Canary(Stage):
    """The updates of the first data owners are replaced. Scenarios plant it by `adversary`, not among their stages.

    Attributes
    ----------
    clients : int
        How many owners.
    seed : int
        Of coins and directions.
    norm : float
        L2 norm over all floating tensors.
    """

    name: ClassVar[str] = "canaries"
    cites: ClassVar[tuple[str, ...]] = ("andrew2023oneshot", "steinke2023privacy")

    clients: int
    seed: int
    norm: float

    def apply(self, update: Update, job: Sending) -> Applied:
        """Return the canary of the job's owner, if it is one."""
        if not 0 <= job.client < self.clients:
            return Applied(update)
        within = included(self.seed, job.client)
        known = direction(self.seed, job.client, [part for part in update if is_float(part)])
        signs = iter(known)
        return Applied(
            [
                np.asarray(next(signs) * (self.norm if within else 0.0)).astype(part.dtype) if is_float(part) else part
                for part in update
            ]
        )


def included(seed: int, client: int) -> bool:
    """Tell whether a canary's coin shows heads."""
    return bool(stream(seed, "coin", client).random() < 0.5)  # noqa: PLR2004 -- a fair coin


def direction(seed: int, client: int, like: Sequence[Array]) -> list[NDArray[np.float64]]:
    """Return a canary's direction, a unit vector over tensors of these shapes: a random sign in every coordinate."""
    size = sum(part.size for part in like)
    signs = (stream(seed, "signs", client).integers(0, 2, size) * 2.0 - 1.0) / np.sqrt(max(size, 1))
    ends = np.cumsum([part.size for part in like])[:-1]
    return [values.reshape(part.shape) for values, part in zip(np.split(signs, ends), like, strict=True)]
