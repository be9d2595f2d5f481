"""What the loss would change by without a channel, to first order.

References
----------
Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", equations 8 and 9: the sum of the squares of
weight times gradient. (The square of the sum is zero for filters that a normalisation follows, whose length is nothing
to the loss.)
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fedlite.compression.channels.importance.base import Channels, Importance, Scores


class Taylor(Importance):
    """Sum of (weight times gradient) squared, over all layers that make the channel."""

    cites: ClassVar[tuple[str, ...]] = ("molchanov2019importance",)
    needs_gradients: ClassVar[bool] = True
    comparable: ClassVar[bool] = True

    def scores(self, channels: Channels) -> Scores:
        """Return the sums."""
        parts = (
            ((filters * channels.slopes[layer]) ** 2).reshape(channels.units, -1).sum(axis=1)
            for layer, filters in channels.filters.items()
        )
        return sum(parts, np.zeros(channels.units))
