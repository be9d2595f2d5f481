"""The one-sided Mann-Whitney U test of two samples of devices, as Spinnaker's Kayenta judges a canary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.stats import mannwhitneyu

from fedlite.rollout.gates.direction import Direction, check_direction
from fedlite.rollout.gates.parameters import check_count, check_number, check_open_share
from fedlite.rollout.gates.threshold import MOST_DEVICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Evidence, Reads, Valid


@dataclass(frozen=True)
class MannWhitney:
    """Trip when devices with the new model rank worse than held-out ones, by more than the margin.

    The test of a margin moves the treated sample by it. That is the same as asking whether the whole one-sided
    Hodges-Lehmann interval of the shift lies beyond the margin, which is how Kayenta uses its effect sizes (there
    relative to the estimate, here in the metric's unit). Valid for one look that was planned: no sums stand for the
    samples, and every further look adds false alarms.

    Parameters
    ----------
    direction : str
        What is bad: "increase" (a latency) or "decrease" (an accuracy).
    alpha : float
        Chance of a false alarm of one look, in (0, 1).
    margin : float
        Worsening that is allowed, in the metric's unit, 0 or more.
    min_executed : int
        Treated devices before which it is not asked.

    Raises
    ------
    FedliteError
        If a parameter is out of its range.

    References
    ----------
    Mann, Whitney 1947; Hodges, Lehmann 1963; spinnaker/kayenta, docs/canary-config.md.
    """

    direction: Direction = "increase"
    alpha: float = 0.05
    margin: float = 0.0
    min_executed: int = 1
    reads: ClassVar[Reads] = "samples"
    two_arms: ClassVar[bool] = True
    valid: ClassVar[Valid] = "one look"

    def __post_init__(self) -> None:
        check_direction(self.direction)
        check_open_share("alpha", self.alpha)
        check_number("margin", self.margin, 0.0)
        check_count("min_executed", self.min_executed, MOST_DEVICES)

    def trips(self, evidence: Evidence) -> NDArray[np.bool_]:
        """Return where the treated devices rank worse. The evidence is made by `Evidence.of_samples`."""
        if evidence.treated is None or evidence.control is None:
            raise ValueError("a Mann-Whitney test reads samples, and the evidence has only sums")
        worse = self.direction == "increase"
        moved = evidence.treated + (-self.margin if worse else self.margin)
        tested = mannwhitneyu(moved, evidence.control, alternative="greater" if worse else "less", axis=-1)
        return np.asarray(evidence.enough(self.min_executed) & (tested.pvalue <= self.alpha))
