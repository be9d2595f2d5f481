"""The Euclidean length of all that makes a channel: its weights, its bias, what its normalisation scales and adds.

References
----------
Wen et al. 2016, "Learning Structured Sparsity in Deep Neural Networks" (the norm that group lasso drives to zero).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fedlite.compression.channels.importance.base import Channels, Importance, Scores


class L2(Importance):
    """Root of the sum of squares of everything that makes the channel."""

    cites: ClassVar[tuple[str, ...]] = ("wen2016learning",)

    def scores(self, channels: Channels) -> Scores:
        """Return the lengths."""
        return np.asarray(np.linalg.norm(channels.numbers, axis=1))
