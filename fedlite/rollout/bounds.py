"""What so many rehearsals show of a percentile and of a chance, whatever law they follow: bounds that err by alpha."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta, binom

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fewest(share: float, alpha: float) -> int:
    """Return how many rehearsals a bound needs at least: of a percentile from above, or of a chance from below.

    Below that, the largest of n values may lie under the percentile with more than chance alpha, and a chance of less
    than `share` may come true every time: share^n > alpha.

    Parameters
    ----------
    share : float
        Which percentile, or the chance that is to be shown; below 1.
    alpha : float
        Chance that the bound is wrong.
    """
    if share <= alpha:
        return 1
    guess = math.floor(math.log(alpha) / math.log(share))
    return guess if share**guess <= alpha else guess + 1


def percentile_at_most(values: NDArray[np.float64], share: float, alpha: float) -> float:
    """Return a value below which the percentile lies, infinity if there are too few.

    The k-th smallest of the n values, with the smallest k for which P(Bin(n, share) >= k) <= alpha: at least k of them
    lie below the percentile with no more than that chance.

    References
    ----------
    Hahn, Meeker 1991, "Statistical intervals", section 5.2.
    """
    above = np.flatnonzero(binom.sf(np.arange(len(values)), len(values), share) <= alpha)
    return float(np.sort(values)[above[0]]) if above.size else math.inf


def percentile_at_least(values: NDArray[np.float64], share: float, alpha: float) -> float:
    """Return a value above which the percentile lies, minus infinity if there are too few."""
    return -percentile_at_most(-values, 1.0 - share, alpha)


def chance_at_least(hits: int, n: int, alpha: float) -> float:
    """Return a chance that the true one exceeds, after so many hits in n.

    References
    ----------
    Clopper, Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the binomial".
    """
    return float(beta.ppf(alpha, hits, n - hits + 1)) if hits else 0.0
