"""Lower bounds on epsilon from canaries, each of which a fair coin put into the data or left out.

=================  ===================================================================================================
clopper_pearson    of (epsilon, delta), from the rates of true and false alarms; canaries of runs of their own, or whose
                   scores do not depend on each other
one_run            of (epsilon, delta), from how many guesses were right; holds for canaries of one run
gaussian           of the mu of Gaussian differential privacy, from the same rates; far more of mechanisms that are
                   Gaussian, and nothing of others
=================  ===================================================================================================

Each fails with a probability of at most `alpha`. A bound above what a mechanism promises says that it is broken; one
below it proves nothing.

References
----------
Jagielski, Ullman, Oprea 2020, "Auditing differentially private machine learning" (Clopper-Pearson).
Steinke, Nasr, Jagielski 2023, "Privacy auditing with one (1) training run", theorem 5.2.
Nasr et al. 2023, "Tight auditing of differentially private machine learning" (through mu).
Dong, Roth, Su 2022, "Gaussian differential privacy", corollary 2.13 (epsilon of mu).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, binom, norm

Floats = NDArray[np.floating[Any]]

ALPHA = 0.05
_MOST_EPSILON = 100.0


@dataclass(frozen=True)
class Rates:
    """How many of the canaries that were in, and of those that were out, were taken to be in."""

    hits: int
    within: int
    alarms: int
    without: int

    @classmethod
    def at(cls, scores: Floats, included: NDArray[np.bool_], threshold: float) -> Rates:
        """Return those of one threshold, which must not rest on these scores."""
        taken = scores > threshold
        counts = taken[included].sum(), included.sum(), taken[~included].sum(), (~included).sum()
        return cls(*(int(count) for count in counts))

    def limits(self, alpha: float) -> tuple[float, float]:
        """Return the least rate of hits and the greatest rate of alarms (Clopper and Pearson 1934), alpha for both."""
        least = beta.ppf(alpha / 2, self.hits, self.within - self.hits + 1) if self.hits else 0.0
        most = beta.ppf(1 - alpha / 2, self.alarms + 1, self.without - self.alarms) if self._misses else 1.0
        return float(least), float(most)

    @property
    def _misses(self) -> bool:
        return self.alarms < self.without


def clopper_pearson(rates: Rates, delta: float, alpha: float = ALPHA) -> float:
    """Return the lower bound on epsilon at `delta`, at least 0."""
    least, most = rates.limits(alpha)
    return max(0.0, math.log((least - delta) / most)) if least > delta else 0.0


def one_run(canaries: int, guesses: int, right: int, delta: float = 0.0, alpha: float = ALPHA) -> float:
    """Return the lower bound on epsilon at `delta`, at least 0.

    Parameters
    ----------
    canaries : int
        How many there were, guessed or not.
    guesses, right : int
        Of how many it was guessed whether they were in, and how often rightly.
    delta, alpha : float
    """
    if not guesses or _likely(0.0, canaries, guesses, right, delta) > alpha:
        return 0.0
    if _likely(_MOST_EPSILON, canaries, guesses, right, delta) <= alpha:
        return _MOST_EPSILON
    found = brentq(
        lambda epsilon: _likely(epsilon, canaries, guesses, right, delta) - alpha, 0.0, _MOST_EPSILON, xtol=1e-10
    )
    return float(found)


def _likely(epsilon: float, canaries: int, guesses: int, right: int, delta: float) -> float:
    """Return the most probable it can be that so many guesses are right, of what is (epsilon, delta)-private."""
    rate = 1.0 / (1.0 + math.exp(-epsilon))
    tail = float(binom.sf(right - 1, guesses, rate))
    if not delta or not right:
        return min(1.0, tail)
    below = np.cumsum(binom.pmf(right - np.arange(1, right + 1), guesses, rate))
    worst = float((below / np.arange(1, right + 1)).max())
    return min(1.0, tail + 2.0 * canaries * delta * worst)


def guessed(scores: Floats, included: NDArray[np.bool_], guesses: int) -> int:
    """Return how many guesses are right: the highest half of them guessed to be in, the lowest to be out."""
    order = np.argsort(scores, kind="stable")
    out, within = order[: guesses // 2], order[len(order) - (guesses - guesses // 2) :]
    return int((~included[out]).sum() + included[within].sum())


def gaussian(rates: Rates, alpha: float = ALPHA) -> float:
    """Return the lower bound on mu, at least 0: no mechanism of a smaller one has such rates."""
    least, most = rates.limits(alpha)
    if least <= 0.0 or most >= 1.0:
        return 0.0
    return max(0.0, float(norm.ppf(least) - norm.ppf(most)))


def epsilon_of_mu(mu: float, delta: float) -> float:
    """Return the epsilon at `delta` of a mechanism that is mu-Gaussian private, exactly."""

    def excess(epsilon: float) -> float:
        first, second = norm.logcdf(-epsilon / mu + mu / 2), epsilon + norm.logcdf(-epsilon / mu - mu / 2)
        return float(np.exp(first) - np.exp(second)) - delta

    if mu <= 0.0 or excess(0.0) <= 0.0:
        return 0.0
    most = 1.0
    while excess(most) > 0.0:
        most *= 2.0
    return float(brentq(excess, 0.0, most, xtol=1e-12))
