"""What seeds say and what they do not: intervals of means, paired differences, and who may be called best.

A seed draws the data's partition, the fleet and every coin of a run, and all settings of a study share it: what two
settings came to with the same seed is compared, so that what a seed does to both is no noise.

References
----------
Student 1908, "The probable error of a mean" (interval and paired test). Holm 1979, "A simple sequentially rejective
multiple test procedure".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import stdtr, stdtrit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LEVEL: Final = 0.95
"""Of every interval; a pair is told apart where the interval of its difference excludes 0."""
FEWEST: Final = 2
"""Seeds without which nothing is known about noise."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it would lie if more seeds had been run: the ends are not-a-number for a single seed.

    Attributes
    ----------
    mean, low, high : float
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """The mean of what one setting has more than another with the same seed.

    Attributes
    ----------
    p : float
        Two-sided, of Student's paired test; 1 where nothing is known about noise.
    seeds : int
        That both have.
    """

    p: float
    seeds: int

    @property
    def is_told_apart(self) -> bool:
        """Whether the two settings are told apart, at 95 %."""
        return self.p < 1.0 - LEVEL


def interval(values: Iterable[float]) -> Interval:
    """Return Student's 95 % interval of a mean; values that are not finite are left out."""
    found = np.array([value for value in values if math.isfinite(value)], np.float64)
    if found.size == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(found.mean())
    if found.size < FEWEST:
        return Interval(mean, math.nan, math.nan)
    half = float(stdtrit(found.size - 1, (1.0 + LEVEL) / 2) * _error(found))
    return Interval(mean, mean - half, mean + half)


def paired(mine: Mapping[int, float], others: Mapping[int, float]) -> Difference:
    """Return what a setting has more than another, given the values of both by seed.

    Seeds that one of them lacks, or whose value is not finite, are left out.
    """
    differences = [
        mine[seed] - others[seed]
        for seed in mine
        if seed in others and math.isfinite(mine[seed]) and math.isfinite(others[seed])
    ]
    found = interval(differences)
    return Difference(found.mean, found.low, found.high, _p(np.array(differences)), len(differences))


def all_told_apart(differences: Sequence[Difference]) -> bool:
    """Tell whether every one of several differences holds when all are claimed at once (Holm 1979)."""
    ranked = sorted(one.p for one in differences)
    return all(p < (1.0 - LEVEL) / (len(ranked) - place) for place, p in enumerate(ranked))


def _error(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(values.std(ddof=1)) / math.sqrt(values.size)


def _p(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    if differences.size < FEWEST or not differences.any():
        return 1.0
    # Values that are one decimal apart differ by a last bit more or less: that is no noise to divide by.
    error = max(_error(differences), float(np.abs(differences).max()) * float(np.finfo(np.float64).eps))
    return float(2.0 * stdtr(differences.size - 1, -abs(float(differences.mean())) / error))
