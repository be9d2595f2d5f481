"""The one-sided z test of two failure rates, pooled under the hypothesis that they are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import ndtri

from fedlite.rollout.gates.parameters import check_count, check_open_share
from fedlite.rollout.gates.threshold import MOST_DEVICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Evidence, Reads, Valid


@dataclass(frozen=True)
class TwoArms:
    """Trip when the treated arm fails more often than the held-out one, by more than chance explains.

    Valid for one look, and nearly: it takes the difference for normal, which needs some ten failures per arm.

    Parameters
    ----------
    alpha : float
        Chance of a false alarm of one look, in (0, 1).
    min_executed : int
        Treated devices before which it is not asked.

    Raises
    ------
    FedliteError
        If a parameter is out of its range.
    """

    alpha: float = 0.05
    min_executed: int = 1
    reads: ClassVar[Reads] = "failures"
    two_arms: ClassVar[bool] = True
    valid: ClassVar[Valid] = "one look"

    def __post_init__(self) -> None:
        check_open_share("alpha", self.alpha)
        check_count("min_executed", self.min_executed, MOST_DEVICES)

    def trips(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Return where the difference of the rates exceeds its standard error by the quantile of 1 - alpha."""
        if evidence.control_n is None or evidence.control_total is None:
            raise ValueError("a z test reads both arms, and the evidence has no control arm")
        n, control_n = np.maximum(evidence.n, 1), np.maximum(evidence.control_n, 1)
        pooled = (evidence.total + evidence.control_total) / (n + control_n)
        error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / control_n))
        difference = evidence.total / n - evidence.control_total / control_n
        seen = evidence.enough(self.min_executed) & (evidence.control_n > 0)
        return np.asarray(seen & (error > 0) & (difference > ndtri(1.0 - self.alpha) * error))
