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
FEWEST: Final = 3
"""Seeds without which nothing is said about noise: two that agree by chance would seem to have none."""
_SAME: Final = 1e-9
"""Of two numbers, relative to the larger: they are one, but for the way in which they were added up."""


@dataclass(frozen=True)
class Interval:
    """A mean and where it would lie if more seeds had been run: the ends are not-a-number for fewer than three.

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
        """Whether the two settings are told apart, at 95 %, if no other pair is asked about."""
        return is_told_apart(self.p)

    @property
    def is_better(self) -> bool:
        """Whether the first is told to be the better one of the two, if no other pair is asked about."""
        return self.mean > 0 and self.is_told_apart


def is_told_apart(p: float) -> bool:
    """Tell whether what a test found is no noise, at 95 %."""
    return p < 1.0 - LEVEL


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

    Seeds that one of them lacks, or whose value is not finite, are left out. Values that differ by last digits alone
    are equal.
    """
    pairs = [
        (mine[seed], others[seed])
        for seed in mine
        if seed in others and math.isfinite(mine[seed]) and math.isfinite(others[seed])
    ]
    differences = [0.0 if math.isclose(one, other, rel_tol=_SAME) else one - other for one, other in pairs]
    found = interval(differences)
    largest = max((abs(value) for pair in pairs for value in pair), default=0.0)
    return Difference(found.mean, found.low, found.high, _p(np.array(differences), _SAME * largest), len(differences))


def at_once(ps: Sequence[float]) -> list[float]:
    """Return what the p of several tests are where all are looked at together (Holm 1979), in the same order."""
    found, most = [1.0] * len(ps), 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        most = max(most, min(1.0, (len(ps) - place) * ps[index]))
        found[index] = most
    return found


def _error(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(values.std(ddof=1)) / math.sqrt(values.size)


def _p(differences: np.ndarray[tuple[int], np.dtype[np.float64]], least_error: float) -> float:
    if differences.size < FEWEST or not differences.any():
        return 1.0
    error = max(_error(differences), least_error)
    return float(2.0 * stdtr(differences.size - 1, -abs(float(differences.mean())) / error))
