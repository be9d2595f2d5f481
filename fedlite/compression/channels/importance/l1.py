"""The sum of absolute weights that make a channel.

References
----------
Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fedlite.compression.channels.importance.base import Channels, Importance, Scores


class L1(Importance):
    """Sum of magnitudes, over all layers that make the channel."""

    cites: ClassVar[tuple[str, ...]] = ("li2017pruning",)

    def scores(self, channels: Channels) -> Scores:
        """Return the sums."""
        return sum(
            (np.abs(filters).reshape(channels.units, -1).sum(axis=1) for filters in channels.filters.values()),
            np.zeros(channels.units),
        )
