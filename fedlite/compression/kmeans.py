"""One-dimensional k-means of the weights of a layer: evenly spread at the start, or where an earlier codebook was.

References
----------
Lloyd 1982, "Least squares quantization in PCM". Han, Mao, Dally 2016, "Deep Compression", section 3 (linear
initialisation keeps the few large weights that count).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ITERATIONS: Final = 50


class Clusters(NamedTuple):
    """What k-means found.

    Attributes
    ----------
    centres : float64 array, shape (K,)
        Ascending.
    indices : int64 array, shape (n,)
        The cluster of each value; one in the middle of two centres goes with the larger.
    iterations : int
    """

    centres: NDArray[np.float64]
    indices: NDArray[np.int64]
    iterations: int


def kmeans(values: NDArray[Any], clusters: int, start: NDArray[Any] | None = None, settled: float = 0.0) -> Clusters:
    """Return clusters by Lloyd's iterations on sorted values; a cluster that nobody belongs to keeps its centre.

    Parameters
    ----------
    values : array, shape (n,)
        One or more.
    clusters : int
        K.
    start : array, optional
        K centres to begin with, instead of evenly spread ones from the smallest value to the largest; of another length
        it is not used.
    settled : float
        The iterations end when one of them lessens the squared error by no more than this share; with 0 when nothing
        moves, or after `MOST_ITERATIONS`.
    """
    flat = values.astype(np.float64)
    ordered = np.sort(flat)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centres = np.linspace(ordered[0], ordered[-1], clusters)
    if start is not None and len(start) == clusters:
        centres = np.sort(start.astype(np.float64))
    whole, error, iterations = float(np.square(ordered).sum()), np.inf, 0
    while iterations < MOST_ITERATIONS:
        iterations += 1
        ends = np.concatenate([[0], np.searchsorted(ordered, _edges(centres)), [len(ordered)]])
        counts = np.diff(ends)
        means = np.diff(sums[ends]) / np.maximum(counts, 1)
        # Sums lose bits, by which neighbours could come to stand in the wrong order.
        means = np.maximum.accumulate(np.where(counts > 0, means, centres))
        before, error = error, whole - float((counts * np.square(means)).sum())
        hardly = settled > 0 and before - error <= settled * before < np.inf
        if hardly or np.array_equal(means, centres):
            break
        centres = means
    return Clusters(centres, np.searchsorted(_edges(centres), flat, side="right").astype(np.int64), iterations)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((centres[1:] + centres[:-1]) / 2)
