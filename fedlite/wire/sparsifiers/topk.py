"""The fraction of the values with the largest magnitudes, over all tensors together.

References
----------
Stich, Cordonnier, Jaggi 2018, "Sparsified SGD with Memory", definition 2.1 (a k-contraction).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.sparsifiers.fraction import fraction_of, share_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats


@dataclass(frozen=True)
class TopK:
    """Keeps k = ceil(fraction * n) of n values, so that `||u - C(u)||**2 <= (1 - k / n) * ||u||**2`.

    Ties are broken by position, so the choice does not depend on the machine. Zeros are never sent.
    """

    fraction: float
    carries_update: bool = True
    carries_model: bool = False

    @classmethod
    def parse(cls, argument: str | None) -> TopK:
        """Return the sparsifier of "topk:0.1" or "topk:10%"."""
        return cls(fraction_of("topk", argument))

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"topk:{self.fraction:g}"

    def most(self, count: int) -> int:
        """Return k for `count` values."""
        return share_of(self.fraction, count)

    def select(self, values: Floats) -> NDArray[np.int64]:
        """Return the positions of the k largest magnitudes."""
        k = self.most(values.size)
        if not k:
            return np.zeros(0, np.int64)
        magnitude = np.abs(values)
        least = np.partition(magnitude, values.size - k)[values.size - k]
        if least == 0:
            return np.flatnonzero(magnitude)
        kept = magnitude > least
        missing = k - int(np.count_nonzero(kept))
        kept[np.flatnonzero(magnitude == least)[:missing]] = True
        return np.flatnonzero(kept)
