"""What a stage may do to an update before it is encoded, and what it learns afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedlite.compression.part import Part
from fedlite.wire import is_float

if TYPE_CHECKING:
    from fedlite.compression.overlap import Held

Array = NDArray[Any]
Update = list[Array]
"""What training changed, tensor by tensor: differences for floating tensors, values for counters."""
Memory = Mapping[str, Array]
"""What a stage keeps on a device between its jobs, by the stage's own names."""


@dataclass(frozen=True)
class Sending:
    """The job whose update a stage treats.

    Attributes
    ----------
    start : sequence of arrays
        The weights that training began from.
    round_ : int
        The server's round.
    examples : int
        Rows that the client owns.
    memory : mapping
        What this stage keeps on this device.
    rng : Generator
        Randomness of this stage in this job.
    held : list or None
        Per tensor 1 where the client holds a coordinate and 0 where a mask keeps it at zero, so that nobody reads its
        update; None if it holds all.
    client : int
        Whose data it is, by the number of the partition; -1 where nobody says.
    """

    start: Sequence[Array]
    round_: int
    examples: int
    memory: Memory
    rng: np.random.Generator
    held: Held | None = None
    client: int = -1


class Applied(NamedTuple):
    """A stage's result.

    Attributes
    ----------
    update : list of arrays
    memory : mapping
        What the device keeps of this stage, numpy arrays of numbers by name; only of a stage that `remembers`.
    metrics : mapping
        Numbers that travel with the reply, such as Flower's bit that says whether an update was clipped. A strategy
        gets those that every reply of a round has.
    extra : bytes
        What the stage sends beside the packet, such as shares of keys; charged by its length. Only of a stage that
        `adds_bytes`.
    """

    update: Update
    memory: Memory = MappingProxyType({})
    metrics: Mapping[str, float] = MappingProxyType({})
    extra: bytes = b""


@dataclass(frozen=True)
class Stage(Part):
    """Treats one client's update, as a pure function of it and of the job, its memory and random stream included."""

    remembers: ClassVar[bool] = False
    """Whether the stage keeps memory; jobs that begin their upload are then trained even if they come too late."""
    adds_bytes: ClassVar[bool] = False
    """Whether `apply` may send `extra` bytes; uploads are then priced once they are made."""

    @property
    def keeps_memory(self) -> bool:
        """One that remembers does."""
        return self.remembers

    def apply(self, update: Update, job: Sending) -> Applied:
        """Return the update as the next stage, or the codec, gets it."""
        return Applied(update, job.memory)

    def sent(self, update: Update, decoded: Update, memory: Memory) -> Memory:
        """Return the memory once the update was encoded; `decoded` is what the packet says of it.

        Only stages that remember are asked.
        """
        return memory

    def lost(self, decoded: Update, memory: Memory) -> Memory:
        """Return the memory after the server did not get the packet that says `decoded`."""
        return memory


def norm_of(update: Sequence[Array]) -> float:
    """Return the L2 norm over all floating tensors, summed in float64."""
    squares = (float(np.sum(np.square(part, dtype=np.float64))) for part in update if is_float(part))
    return float(np.sqrt(sum(squares)))
