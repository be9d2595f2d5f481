"""How well a score tells members from others: the curve, and what it catches at few false alarms.

References
----------
Carlini, Chien, Nasr, Song, Terzis, Tramer 2022, "Membership inference attacks from first principles" (why the
true positives at a low rate of false ones, not the accuracy).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Roc:
    """Rates of true and of false alarms, of every threshold from the strictest on; both begin at 0 and end at 1."""

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]

    @property
    def auc(self) -> float:
        """The area under the curve: 0.5 of a guess."""
        return float(np.trapezoid(self.tpr, self.fpr))

    @property
    def balanced_accuracy(self) -> float:
        """Of the best threshold, members and others counting the same."""
        return float(np.max(1.0 + self.tpr - self.fpr)) / 2.0

    def tpr_at(self, fpr: float) -> float:
        """Return the greatest rate of true alarms of a threshold with no more false ones than `fpr`.

        Of fewer than 1 / `fpr` others that is what is caught without any false alarm.
        """
        return float(self.tpr[self.fpr <= fpr].max())


def roc(scores: Floats, member: NDArray[np.bool_]) -> Roc:
    """Return the curve of scores, higher meaning more of a member; of each there must be some, of others too."""
    order = np.argsort(-scores, kind="stable")
    hits, alarms = np.cumsum(member[order]), np.cumsum(~member[order])
    # Equal scores cannot be told apart: a threshold takes all of them or none.
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    tpr, fpr = hits[last] / max(int(member.sum()), 1), alarms[last] / max(int((~member).sum()), 1)
    return Roc(np.concatenate([[0.0], fpr]), np.concatenate([[0.0], tpr]))
