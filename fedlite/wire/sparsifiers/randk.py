"""A fraction of the values, drawn at random and scaled up: unbiased, and its positions take eight bytes.

References
----------
Wangni et al. 2018, "Gradient Sparsification for Communication-Efficient Distributed Optimization" (drawn values with a
gain, unbiased); Stich, Cordonnier, Jaggi 2018, "Sparsified SGD with Memory" (random-k).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.sparsifiers.fraction import fraction_of, share_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats


@dataclass(frozen=True)
class RandK:
    """Keeps k = ceil(fraction * n) of n values, each set of k with the same probability, and scales them by n / k.

    So E[C(u)] = u, and E||u - C(u)||**2 = (n / k - 1) ||u||**2: more noise than signal below one half, which averages
    out over clients. With error feedback it grows instead.

    Parameters
    ----------
    fraction : float
    seed : int
        What the choice follows from.
    """

    fraction: float
    seed: int = 0
    carries_update: bool = True
    carries_model: bool = False

    @classmethod
    def parse(cls, argument: str | None) -> RandK:
        """Return the sparsifier of "randk:0.1" or "randk:10%"."""
        # Rounded as it will be written: the receiver counts k from the text.
        return cls(float(f"{fraction_of('randk', argument):g}"))

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"randk:{self.fraction:g}"

    def seeded(self, seed: int) -> RandK:
        """Return the sparsifier with another seed."""
        return replace(self, seed=seed)

    def gain(self, count: int) -> float:
        """Return n / k."""
        return count / max(self.most(count), 1)

    def most(self, count: int) -> int:
        """Return k for `count` values."""
        return share_of(self.fraction, count)

    def select(self, values: Floats) -> NDArray[np.int64]:
        """Return the positions of the k smallest of n random keys; equal keys go by position."""
        count, k = values.size, self.most(values.size)
        if not k:
            return np.zeros(0, np.int64)
        # Raw words of the counter-based generator: unlike numpy's methods they are the same in every version.
        words = np.random.Philox(key=self.seed).random_raw(-(-count // 2))
        keys = words.astype("<u8", copy=False).view("<u4")[:count]
        greatest = np.partition(keys, k - 1)[k - 1]
        kept = keys < greatest
        kept[np.flatnonzero(keys == greatest)[: k - int(np.count_nonzero(kept))]] = True
        return np.flatnonzero(kept)
