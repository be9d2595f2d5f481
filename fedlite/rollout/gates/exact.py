"""The one-sided exact binomial test against a known failure rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import bdtrc

from fedlite.rollout.gates.parameters import check_count, check_open_share
from fedlite.rollout.gates.threshold import MOST_DEVICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Evidence, Reads, Valid


@dataclass(frozen=True)
class Exact:
    """Trip when so many failures, or more, had a chance of at most alpha under the baseline.

    Valid for one look that was planned. Every further look adds false alarms, without end.

    Parameters
    ----------
    baseline : float
        Failure rate without a regression, known beforehand, in (0, 1).
    alpha : float
        Chance of a false alarm of one look, in (0, 1).
    min_executed : int
        Devices before which it is not asked.

    Raises
    ------
    FedliteError
        If a parameter is out of its range.
    """

    baseline: float
    alpha: float = 0.05
    min_executed: int = 1
    reads: ClassVar[Reads] = "failures"
    two_arms: ClassVar[bool] = False
    valid: ClassVar[Valid] = "one look"

    def __post_init__(self) -> None:
        check_open_share("baseline", self.baseline)
        check_open_share("alpha", self.alpha)
        check_count("min_executed", self.min_executed, MOST_DEVICES)

    def trips(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Return where P(at least that many failures | baseline) is at most alpha."""
        chance = bdtrc(evidence.total - 1.0, evidence.n, self.baseline)
        return np.asarray(evidence.enough(self.min_executed) & (evidence.total > 0) & (chance <= self.alpha))
