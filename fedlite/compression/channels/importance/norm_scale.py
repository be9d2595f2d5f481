"""The factor by which a normalisation lets a channel through.

References
----------
Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming", section 3.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fedlite.compression.channels.importance.base import Channels, Importance, Scores
from fedlite.compression.part import PartError


class NormScale(Importance):
    """Mean magnitude of the factors of all normalisations that a channel goes through."""

    cites: ClassVar[tuple[str, ...]] = ("liu2017learning",)
    comparable: ClassVar[bool] = True

    def scores(self, channels: Channels) -> Scores:
        """Return the means.

        Raises
        ------
        PartError
            If nothing normalises these channels with factors of its own.
        """
        if not channels.scales:
            raise PartError(
                f"importance: got 'norm-scale' for the channels of layer {channels.name!r}, which no normalisation "
                "scales, expected a net with normalisation after each such layer; write 'l1', or name other layers"
            )
        return np.asarray(np.concatenate([np.abs(each) for each in channels.scales.values()], axis=1).mean(axis=1))
