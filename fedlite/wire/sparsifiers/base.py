"""What a sparsifier must offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats


class Sparsifier(Protocol):
    """Chooses the values that are sent; the receiver reads zero everywhere else, so no update gets longer by it."""

    @property
    def text(self) -> str:
        """The stage as people write it, such as "topk:0.1"."""

    @property
    def carries_update(self) -> bool:
        """Whether the choice makes sense for a difference only, because the rest becomes zero."""

    @property
    def carries_model(self) -> bool:
        """Whether a whole model survives: no value above a quarter of its tensor's largest magnitude is left out.

        May be left unsaid, which means no. Codecs without it stay off the downlink.
        """

    def most(self, count: int) -> int:
        """Return the largest number of values kept of `count`."""

    def select(self, values: Floats) -> NDArray[np.int64]:
        """Return the increasing positions of the values to send."""


@runtime_checkable
class Seeded(Protocol):
    """A sparsifier whose choice follows from a seed, and that makes up for what it leaves out by a gain.

    A seed is drawn for each packet, and its eight bytes are sent in place of the positions. What is read may be longer.
    """

    def seeded(self, seed: int) -> Sparsifier:
        """Return the sparsifier whose choice follows from this seed and the number of values alone."""

    def gain(self, count: int) -> float:
        """Return what the receiver multiplies the kept of `count` values by."""
