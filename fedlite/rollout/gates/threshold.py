"""A share of failures, compared with a number: the abort criterion of AWS IoT Jobs, Azure Device Update and hawkBit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fedlite.rollout.gates.parameters import check_count, check_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Evidence, Reads, Valid

MOST_DEVICES = 1_000_000


@dataclass(frozen=True)
class Threshold:
    """Trip when at least this share has failed, once enough were executed.

    It has no error control. The first looks decide: then few devices were seen, and their share is all noise.

    Parameters
    ----------
    threshold : float
        Share of failures, in (0, 1]; reaching it trips.
    min_executed : int
        Devices before which it is not asked.

    Raises
    ------
    FedliteError
        If a parameter is out of its range.

    References
    ----------
    AWS IoT Jobs, `abortConfig.criteriaList`: `thresholdPercentage`, `minNumberOfExecutedThings`.
    """

    threshold: float
    min_executed: int = 1
    reads: ClassVar[Reads] = "failures"
    two_arms: ClassVar[bool] = False
    valid: ClassVar[Valid] = "none"

    def __post_init__(self) -> None:
        check_share("threshold", self.threshold)
        check_count("min_executed", self.min_executed, MOST_DEVICES)

    def trips(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Return where the share of failures has reached the threshold."""
        # The quotient, for 7 / 100 is 0.07, and 0.07 * 100 is more than 7.
        share = evidence.total / np.maximum(evidence.n, 1)
        return np.asarray(evidence.enough(self.min_executed) & (share >= self.threshold))
