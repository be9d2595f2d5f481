"""PowerSGD: of each matrix only what a few directions carry is sent, and the directions are followed from job to job.

It is error feedback with a projection in it: what the projection, the codec or a lost upload leaves out is owed, and
added to the next update. The codec `lowrank` of the same rank then sends exactly what is left, as factors.

References
----------
Vogels, Karimireddy, Jaggi 2019, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization",
algorithms 1 and 2. There the factors are averaged between two half steps; here each device has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fedlite.client.stages.base import Applied, Array, Memory, Sending, Update
from fedlite.client.stages.error_feedback import RESIDUAL, ErrorFeedback, flat, ones
from fedlite.compression.part import Effects, PartError
from fedlite.wire import is_float
from fedlite.wire.low_rank import product, rank_of, sides, step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.overlap import Held


@dataclass(frozen=True)
class PowerSgd(ErrorFeedback):
    """A device keeps what it owes, and for each matrix the directions (rest, rank) that the next job begins with.

    Attributes
    ----------
    rank : int
        Directions of a matrix; tensors whose factors would not be smaller pass whole.
    """

    name: ClassVar[str] = "power-sgd"
    cites: ClassVar[tuple[str, ...]] = ("vogels2019powersgd",)

    rank: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= 1024:  # noqa: PLR2004 (stated in the message)
            raise PartError(f"rank: got {self.rank}, expected a whole number from 1 to 1024; write for example 2")

    @property
    def label(self) -> str:
        """Its name and the rank."""
        return f"{self.name} {self.rank}"

    @property
    def effects(self) -> Effects:
        """Each direction reads every matrix twice, and writes it once."""
        return Effects(update_passes=3.0 * self.rank)

    def apply(self, update: Update, job: Sending) -> Applied:
        """Return the update with what is owed, projected, and the directions for the next job."""
        applied = super().apply(update, job)
        projected, starts = list(applied.update), dict[str, Array]()
        for place, part in enumerate(applied.update):
            rank = rank_of(part.shape, self.rank) if is_float(part) else 0
            if rank:
                rows, columns = sides(part.shape)
                key = f"start {place}"
                start = job.memory.get(key, job.rng.normal(size=(columns, rank)))
                left, right = step(part.reshape(rows, columns).astype(np.float64), start)
                projected[place] = product(left, right).reshape(part.shape).astype(part.dtype)
                # Where a direction carried nothing, it stays, or none would ever come back.
                starts[key] = np.where(np.abs(right).sum(axis=0) > 0, right, start)
        left_out = _held_flat(applied.update, job.held) - _held_flat(projected, job.held)
        waits = applied.memory.get(RESIDUAL)
        return Applied(projected, {RESIDUAL: left_out if waits is None else left_out + waits, **starts})

    def sent(self, update: Update, decoded: Update, memory: Memory) -> Memory:
        """Return what is owed now; the directions stay."""
        return {**memory, **super().sent(update, decoded, memory)}

    def lost(self, decoded: Update, memory: Memory) -> Memory:
        """Return what is owed with what the lost packet carried; the directions stay."""
        return {**memory, **super().lost(decoded, memory)}


def _held_flat(update: Sequence[Array], held: Held | None) -> Array:
    """Return the floating tensors in one vector, with zeros where nobody reads them."""
    return flat(update) if held is None else flat(update) * flat(ones(update, held))
