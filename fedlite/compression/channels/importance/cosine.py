"""Channels go whose filters others repeat: the first stage of the two-stage choice by cosine and space.

References
----------
The method that a review of lightweight models for the edge describes as CSCTFP (Liao, Wei): against "a small norm is
unimportant". Built from that description; the paper itself was not at hand.
"""

from __future__ import annotations

import numpy as np

from fedlite.compression.channels.importance.base import Channels, Importance, Scores
from fedlite.compression.channels.importance.redundancy import cosines, leaving


class Cosine(Importance):
    """Units go one by one, each time one of the two whose filters have the largest cosine."""

    def scores(self, channels: Channels) -> Scores:
        """Return the place in that order, from 0 to 1; the last unit has 1."""
        return places(leaving(cosines(channels.rows())), channels.units)


def places(order: list[int], units: int) -> Scores:
    """Return each unit's place in an order of leaving, from 0 to 1; who does not leave has 1."""
    scores = np.ones(units)
    scores[order] = np.arange(len(order)) / max(1, units - 1)
    return scores
