"""Any channels: the control that every other importance has to beat."""

from __future__ import annotations

from fedlite import rng
from fedlite.compression.channels.importance.base import Channels, Importance, Scores


class Random(Importance):
    """Scores drawn once for each layer: the same channels each time, whatever their values."""

    def scores(self, channels: Channels) -> Scores:
        """Return draws between 0 and 1."""
        return rng.stream(0, "channels/random", channels.name).uniform(size=channels.units)
