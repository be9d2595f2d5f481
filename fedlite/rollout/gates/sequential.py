"""The mixture e-process of failures: false alarms stay below alpha however often anybody looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fedlite.rollout.gates.parameters import check_count, check_open_share
from fedlite.rollout.gates.threshold import MOST_DEVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Evidence, Reads, Valid

MULTIPLES = (1.25, 1.5, 2.0, 3.0, 5.0, 8.0)
"""How many times as often as the baseline the regressions fail that the mixture is made of, in equal parts."""


@dataclass(frozen=True)
class Sequential:
    """Trip when the evidence for a regression, as a likelihood ratio, reaches 1 / alpha.

    **Against a known baseline.** For n trials with x failures the ratio of rate p1 to the baseline p0 is
    (p1/p0)^x ((1-p1)/(1-p0))^(n-x). Under p0 its expectation grows by the factor p0 (p1/p0) + (1-p0) (1-p1)/(1-p0) = 1
    with every trial, whatever happened before; under a lower rate by less than 1. So it, and the mean of several, is
    a non-negative supermartingale that starts at 1, and by Ville's inequality it ever reaches 1/alpha with a chance of
    at most alpha: at any look, at all looks, at looks chosen by what was seen.

    **Against a control arm.** The baseline may be unknown and may drift. Between two looks s_j trials of both arms
    fail, out of m_j of which the share w_j was treated; a_j of the failures were. If in both arms a trial fails with
    the same chance, or if devices were dealt to the arms at random, then given s_j the failures are s_j draws without
    replacement from the m_j trials: a_j is hypergeometric. For a ratio r > 1 take F_j = r^a_j / (1 + w_j (r-1))^s_j. It
    is convex in a_j, so by Hoeffding's theorem 4 its expectation is at most that for draws *with* replacement, which is
    (w_j r + 1 - w_j)^s_j / (1 + w_j (r-1))^s_j = 1. The product of the F_j is thus a supermartingale whatever the rate
    between any two looks was. (For Poisson counts over device-days a_j is binomial, and it is a martingale.) Its
    logarithm is x log r - sum_j s_j log(1 + w_j (r-1)) for x treated failures. The logarithm is concave, so with s
    failures in all that sum is at most s log(1 + e/s (r-1)), where e = sum_j s_j w_j is `Evidence.expected`. The gate
    computes r^x / (1 + e/s (r-1))^s: a function of cumulative evidence that never exceeds the supermartingale, and is
    equal to it while the share stays the same. Ville's inequality holds for it too. Should the treated arm fail less
    often, x is smaller and the gate less likely to trip.

    The times of looks must not depend on outcomes since the look before (a clock, or a count of devices, does not);
    when to stop may depend on everything.

    Parameters
    ----------
    baseline : float or None
        Failure rate without a regression, in (0, 1). None: compare with the control arm.
    alpha : float
        Chance that it ever trips without a regression, at most; in (0, 1).
    min_executed : int
        Treated trials before which it is not asked.

    Raises
    ------
    FedliteError
        If a parameter is out of its range.

    References
    ----------
    Ville 1939; Hoeffding 1963, theorem 4; Ramdas, Grünwald, Vovk, Shafer 2023, "Game-theoretic statistics and safe
    anytime-valid inference".
    """

    baseline: float | None = None
    alpha: float = 0.05
    min_executed: int = 1
    reads: ClassVar[Reads] = "failures"
    valid: ClassVar[Valid] = "always"

    def __post_init__(self) -> None:
        if self.baseline is not None:
            check_open_share("baseline", self.baseline)
        check_open_share("alpha", self.alpha)
        check_count("min_executed", self.min_executed, MOST_DEVICES)

    @property
    def two_arms(self) -> bool:
        """Whether it compares with devices that are held out."""
        return self.baseline is None

    def trips(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Return where the evidence for a regression has reached 1 / alpha."""
        return evidence.enough(self.min_executed) & (self.log_evidence(evidence) >= -math.log(self.alpha))

    def log_evidence(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the logarithm of the mixture of likelihood ratios; 0 says nothing, in the shape of `evidence.n`."""
        return _mixed(_against_control(evidence)) if self.baseline is None else self.against(self.baseline, evidence)

    def against(self, baseline: float | NDArray[Any], evidence: Evidence) -> NDArray[np.float64]:
        """Return the same against any baseline, one or one per look: it falls as the baseline rises."""
        return _mixed(_against(baseline, evidence))


def _mixed(ratios: Iterator[NDArray[Any]]) -> NDArray[np.float64]:
    return np.asarray(reduce(np.logaddexp, ratios) - math.log(len(MULTIPLES)))


def _against(baseline: float | NDArray[Any], evidence: Evidence) -> Iterator[NDArray[Any]]:
    for multiple in MULTIPLES:
        # Half-way to 1 is the most, for a rate that is always above the baseline and below 1.
        rate = np.minimum(baseline * multiple, (1.0 + baseline) / 2.0)
        failed, passed = np.log(rate / baseline), np.log((1.0 - rate) / (1.0 - baseline))
        yield evidence.total * (failed - passed) + evidence.n * passed


def _against_control(evidence: Evidence) -> Iterator[NDArray[Any]]:
    if evidence.control_total is None or evidence.expected is None:
        raise ValueError("without a baseline a sequential gate reads control_total and expected")
    failures = evidence.total + evidence.control_total
    share = evidence.expected / np.maximum(failures, 1)
    for multiple in MULTIPLES:
        yield evidence.total * math.log(multiple) - failures * np.log1p(share * (multiple - 1.0))
