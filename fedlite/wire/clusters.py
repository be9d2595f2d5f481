"""One-dimensional k-means: a few values that stand for many, found on sorted values by prefix sums.

References
----------
Lloyd 1982, "Least squares quantization in PCM". Panter, Dite 1951, "Quantization distortion in pulse-count modulation
with nonuniform spacing of levels" (the density of the levels at the start). Han, Mao, Dally 2016, "Deep Compression"
(evenly spaced values at the start keep large weights).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats

EVEN: Final = 5
"""Values that begin evenly spaced: fewer would be further from some weight than a quarter of the largest."""
REACH: Final = 0.249
"""Of the largest magnitude, just below a quarter: no weight is further from its value, if there are `EVEN` or more."""
_MOST_STEPS: Final = 100
_BINS: Final = 2048


def codebook(values: Floats, size: int) -> Floats:
    """Return `size` ascending values with a small sum of squared distances; always the same for the same input.

    No more than `size` distinct values are their own codebook.

    Lloyd's steps end when nothing moves, or after 100. A value is the mean of its weights, or as near to that as leaves
    none of them out of `REACH`.
    """
    ordered = np.sort(values).astype(np.float64)
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]
    if distinct.size <= size:
        return np.pad(distinct, (0, size - distinct.size), mode="edge").astype(np.float32)
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    reach = REACH * max(ordered[-1], -ordered[0])
    centres = _start(ordered, size, reach)
    for _ in range(_MOST_STEPS):
        first, last, some = _owned(ordered, centres)
        moved = centres.copy()
        moved[some] = (sums[last] - sums[first]) / (last - first)
        if size >= EVEN:
            moved[some] = np.clip(moved[some], ordered[last - 1] - reach, ordered[first] + reach)
        if (moved == centres).all():
            break
        centres = moved
    return np.sort(centres.astype(np.float32))


def nearest(values: Floats, centres: Floats) -> NDArray[np.uint8]:
    """Return the place of the value in the ascending `centres` that is nearest to each."""
    edges = (centres[1:].astype(np.float64) + centres[:-1]) / 2
    # Compared as float32: at least the same edge where float64 would lie between two float32.
    return np.searchsorted(edges.astype(np.float32), values).astype(np.uint8)


def _owned(ordered: NDArray[np.float64], centres: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
    """Return the first weight and the one after the last that are nearest to each value, and which values have any.

    A value that has none stays where it is.
    """
    ends = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
    first, last = np.concatenate(([0], ends)), np.concatenate((ends, [ordered.size]))
    some = last > first
    return first[some], last[some], some


def _start(ordered: NDArray[np.float64], size: int, reach: float) -> NDArray[np.float64]:
    """Return values where a histogram's cube root puts them; some evenly spaced, if a weight would be out of reach."""
    dense = _dense(ordered, size)
    first, last, some = _owned(ordered, dense)
    furthest = max((dense[some] - ordered[first]).max(), (ordered[last - 1] - dense[some]).max())
    if size < EVEN or furthest <= reach:
        return dense
    least, width = float(ordered[0]), float(ordered[-1] - ordered[0])
    return np.sort(np.concatenate((least + (np.arange(EVEN) + 0.5) * width / EVEN, _dense(ordered, size - EVEN))))


def _dense(ordered: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return values as dense as the cube root of the density of the weights."""
    edges = np.linspace(ordered[0], ordered[-1], _BINS + 1)
    counts = np.diff(np.searchsorted(ordered, edges[1:-1]), prepend=0, append=ordered.size)
    below = np.concatenate(([0.0], np.cumsum(np.cbrt(counts))))
    return np.asarray(np.interp((np.arange(size) + 0.5) / max(size, 1) * below[-1], below, edges))
