"""Error feedback: what a lossy codec left out is kept and added to the next update.

The sum of what was decoded plus the residual equals the sum of the updates, also across rounds that a device skips and
uploads that get lost, if it is the last stage: what a clip after it takes away is not owed.

It helps biased codecs that contract (top-k, sign). The stochastic integers are unbiased and need none: int4 and int2
with one scale per tensor do not contract, and with error feedback they were measured to get worse.

References
----------
Karimireddy et al. 2019, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", algorithm 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from fedlite.client.stages.base import Applied, Array, Memory, Sending, Stage, Update
from fedlite.compression.part import PartError
from fedlite.wire import is_float

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.overlap import Held
    from fedlite.compression.part import Part

RESIDUAL: Final = "residual"
"""What a device owes, in its memory."""


@dataclass(frozen=True)
class ErrorFeedback(Stage):
    """The residual of a device is one float32 vector over its floating tensors."""

    name: ClassVar[str] = "error-feedback"
    cites: ClassVar[tuple[str, ...]] = ("karimireddy2019error",)
    remembers: ClassVar[bool] = True

    def apply(self, update: Update, job: Sending) -> Applied:
        """Return the update with what earlier packets left out, where the server reads it; the rest waits."""
        if RESIDUAL not in job.memory:
            return Applied(update)
        owed = job.memory[RESIDUAL]
        read = owed if job.held is None else owed * flat(ones(update, job.held))
        return Applied(_plus(update, read), {RESIDUAL: owed - read})

    def sent(self, update: Update, decoded: Update, memory: Memory) -> Memory:
        """Return what this packet left out, and what waits."""
        left = flat(update) - flat(decoded)
        return {RESIDUAL: left + memory[RESIDUAL] if RESIDUAL in memory else left}

    def lost(self, decoded: Update, memory: Memory) -> Memory:
        """Return the residual with what the lost packet carried: it still has to be sent."""
        return {RESIDUAL: memory[RESIDUAL] + flat(decoded)}


def check_one_owes(stages: Sequence[Part]) -> None:
    """Raise PartError if two stages keep what was not sent: each would send all of it."""
    if len(owing := [stage.name for stage in stages if isinstance(stage, ErrorFeedback)]) > 1:
        raise PartError(
            f"stages: got {', '.join(owing)}, each of which would owe the same, expected one of them; leave one out"
        )


def ones(update: Sequence[Array], held: Held) -> Update:
    """Return 1 where the client holds a coordinate, 0 where it does not, for the tensors of an update."""
    return [
        part if not is_float(part) else np.ones_like(part) if mask is None else np.asarray(mask).astype(part.dtype)
        for part, mask in zip(update, held, strict=True)
    ]


def flat(update: Sequence[Array]) -> Array:
    """Return the floating tensors in one float32 vector."""
    parts = [np.ravel(part).astype(np.float32) for part in update if is_float(part)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _plus(update: Sequence[Array], vector: Array) -> Update:
    added, start = [], 0
    for part in update:
        if not is_float(part):
            added.append(part)
            continue
        stop = start + part.size
        added.append(np.asarray(part + vector[start:stop].reshape(part.shape).astype(part.dtype)))
        start = stop
    return added
