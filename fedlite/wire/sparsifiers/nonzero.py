"""Every value that is not zero: the lossless stage for masked (pruned) models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.errors import CodecError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats


@dataclass(frozen=True)
class Nonzero:
    """Keeps the nonzero values. Loses nothing but the sign of zeros, and saves bytes only if there are zeros."""

    text: str = "nonzero"
    carries_update: bool = False
    carries_model: bool = True

    @classmethod
    def parse(cls, argument: str | None) -> Nonzero:
        """Return the sparsifier of "nonzero"."""
        if argument is not None:
            raise CodecError(f"nonzero: got an argument {argument!r}, expected none; write 'nonzero'")
        return cls()

    def most(self, count: int) -> int:
        """Return `count`: there may be no zero."""
        return count

    def select(self, values: Floats) -> NDArray[np.int64]:
        """Return the positions of the nonzero values."""
        return np.flatnonzero(values)
