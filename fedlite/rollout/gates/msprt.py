"""The mixture sequential probability ratio test of a continuous metric against a control arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import log_ndtr, stdtr

from fedlite.rollout.gates.direction import Direction, check_direction, sign_of
from fedlite.rollout.gates.parameters import check_count, check_number, check_open_share
from fedlite.rollout.gates.threshold import MOST_DEVICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Evidence, Reads, Valid


@dataclass(frozen=True)
class Msprt:
    """Trip when the likelihood ratio of "worse by some amount" to "the same" reaches 1 / alpha.

    The amount is mixed over a half-normal law on the bad side, so that good news is no evidence; its scale is `mixing`
    standard deviations between devices. With d the difference of means (bad side positive), g = mixing^2 and
    h = n m / (n + m) for n treated and m held-out devices:

    * standard deviation known, v = sd^2 / h, s^2 = g sd^2: the ratio is
      2 sqrt(v / (v + s^2)) exp(d^2 s^2 / (2 v (v + s^2))) Phi(d s / sqrt(v (v + s^2))), the one-sided form of
      Johari-Pekelis-Walsh's.
    * not known: the amount is mixed in units of it, and mean and deviation are integrated out by the right Haar
      measure. That leaves a function of the t statistic with k = n + m - 2 degrees of freedom,
      2 (1 + h g)^(-1/2) ((k + t^2) / (k + t^2 / (1 + h g)))^((k + 1) / 2) T_(k+1)(z), z being mean over scale of the
      amount's law given the data.

    **Exactly valid**, P(ever trips) <= alpha for every schedule of looks, for independent normal metrics with one
    mean and one deviation over time: both ratios are likelihood ratios of what a shift (and a scale) of all data
    leaves unchanged, hence martingales of that, and Ville's inequality holds. If as many devices of each arm come
    between any two looks and `sd` is known, the mean may drift. **Nearly valid** for other metrics once their means are
    normal, some dozens of devices: set `min_executed`. **Not valid** if the arms' shares and the metric's mean both
    change. A treated arm that is better moves d, hence both ratios, down, and the gate trips less often.

    Parameters
    ----------
    direction : str
        What is bad: "increase" (a latency) or "decrease" (an accuracy).
    alpha : float
        Chance that it ever trips without a regression, at most; in (0, 1).
    sd : float or None
        Standard deviation between devices, in the metric's unit, if it is known.
    mixing : float
        Regression that is looked for, in standard deviations between devices; any other is found too, only later.
    min_executed : int
        Treated devices before which it is not asked.

    Raises
    ------
    FedliteError
        If a parameter is out of its range.

    References
    ----------
    Robbins 1970; Johari, Koomen, Pekelis, Walsh 2022, "Always valid inference: continuous monitoring of A/B tests";
    Gönen, Johnson, Lu, Westfall 2005 (the t ratio); Pérez-Ortiz, Lardy, de Heide, Grünwald 2024 (why always valid).
    """

    direction: Direction = "increase"
    alpha: float = 0.05
    sd: float | None = None
    mixing: float = 0.25
    min_executed: int = 1
    reads: ClassVar[Reads] = "sums"
    two_arms: ClassVar[bool] = True
    valid: ClassVar[Valid] = "always"

    def __post_init__(self) -> None:
        check_direction(self.direction)
        check_open_share("alpha", self.alpha)
        if self.sd is not None:
            check_number("sd", self.sd, 0.0, open_end=True)
        check_number("mixing", self.mixing, 0.0, open_end=True)
        check_count("min_executed", self.min_executed, MOST_DEVICES)

    def trips(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Return where the evidence for a regression has reached 1 / alpha."""
        return evidence.enough(self.min_executed) & (self.log_evidence(evidence) >= -math.log(self.alpha))

    def log_evidence(self, evidence: Evidence) -> NDArray[np.float64]:
        """Return the logarithm of the mixture of likelihood ratios; 0 says nothing, in the shape of `evidence.n`."""
        if evidence.control_n is None or evidence.control_total is None:
            raise ValueError("a mixture SPRT reads both arms, and the evidence has no control arm")
        n, m = np.maximum(evidence.n, 1), np.maximum(evidence.control_n, 1)
        difference = sign_of(self.direction) * (evidence.total / n - evidence.control_total / m)
        both = n * m / (n + m)
        if self.sd is not None:
            told, known = _known(difference * np.sqrt(both) / self.sd, both * self.mixing**2), True
        else:
            squares, freedom = _within(evidence), n + m - 2
            known = (freedom > 0) & (squares > 0)
            error = np.sqrt(np.where(known, squares / np.maximum(freedom, 1), 1.0) / both)
            told = _estimated(difference / error, both * self.mixing**2, np.maximum(freedom, 1))
        return np.where((evidence.n > 0) & (evidence.control_n > 0) & known, told, 0.0)


def _known(z: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log ratio for the z statistic; the gain is the mixing law's variance over that of the difference."""
    shrink = gain / (1.0 + gain)
    return np.asarray(math.log(2.0) - 0.5 * np.log1p(gain) + 0.5 * shrink * z**2 + log_ndtr(z * np.sqrt(shrink)))


def _estimated(t: NDArray[np.float64], gain: NDArray[np.float64], freedom: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the log ratio for the t statistic; its law given the data is a t law with one more degree of freedom."""
    left = freedom + t**2 / (1.0 + gain)
    fit = 0.5 * (freedom + 1) * np.log((freedom + t**2) / left)
    standing = t * np.sqrt(gain / (1.0 + gain)) * np.sqrt((freedom + 1) / left)
    # A t law's lower tail at -1e9 or so is 0 in floating point; its logarithm would be no number to compare.
    side = np.log(np.maximum(stdtr(freedom + 1, standing), np.finfo(np.float64).tiny))
    return np.asarray(math.log(2.0) - 0.5 * np.log1p(gain) + fit + side)


def _within(evidence: Evidence) -> NDArray[np.float64]:
    """Return the squares of the deviations from each arm's own mean, summed."""
    if evidence.squares is None or evidence.control_squares is None:
        raise ValueError("without sd a mixture SPRT reads sums of squares, and the evidence has none")
    treated = _spread(evidence.n, evidence.total, evidence.squares)
    return treated + _spread(evidence.control_n, evidence.control_total, evidence.control_squares)


def _spread(n: Any, total: Any, squares: Any) -> NDArray[np.float64]:
    return np.asarray(squares - np.square(total) / np.maximum(n, 1))
