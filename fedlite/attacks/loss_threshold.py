"""Membership by the loss: who is fitted well was seen in training.

References
----------
Yeom, Giacomelli, Fredrikson, Jha 2018, "Privacy risk in machine learning: analyzing the connection to overfitting",
section 3 (adversaries that look at the loss).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def loss_scores(losses: Floats) -> NDArray[np.float64]:
    """Return the score of each example, higher meaning more of a member: minus its loss."""
    return -np.asarray(losses, np.float64)


def advantage(losses: Floats, member: NDArray[np.bool_], threshold: float) -> float:
    """Return the true less the false alarms, as rates, where losses of at most `threshold` are taken for members'."""
    taken = losses <= threshold
    return float(taken[member].mean() - taken[~member].mean())
