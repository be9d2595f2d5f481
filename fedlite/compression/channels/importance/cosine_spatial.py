"""The two-stage choice: first by the cosine of filters, then, among what remains, by their shape in space.

The second stage answers "similar filters are redundant": two filters of one direction at every point, but of another
shape over the kernel, see different things. It compares shapes only, each kernel's mean taken out.

References
----------
The method that a review of lightweight models for the edge describes as CSCTFP (Liao, Wei). Built from that
description; the paper itself was not at hand, so the limit between the stages is our own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedlite.compression.channels.importance.base import Array, Channels, Importance, Scores
from fedlite.compression.channels.importance.cosine import places
from fedlite.compression.channels.importance.redundancy import cosines, leaving

_REPEATS: Final = 0.9
"""Cosine from which on a filter repeats another."""
_POINTWISE: Final = 3
"""Dimensions of filters (units, channels, inputs) without a kernel."""


class CosineSpatial(Importance):
    """Units that repeat others go first; the rest by the correlation of their kernels' shapes.

    Filters without a kernel in space (Linear, 1x1) are ranked by their cosine alone.
    """

    def scores(self, channels: Channels) -> Scores:
        """Return the place in the order of leaving, from 0 to 1."""
        alike = cosines(channels.rows())
        first = leaving(alike, _REPEATS)
        rest = np.setdiff1d(np.arange(channels.units), first)
        shapes = _shapes(channels)
        if shapes is not None:
            alike = cosines(shapes)
        second = rest[leaving(alike[np.ix_(rest, rest)])].tolist()
        return places([*first, *second], channels.units)


def _shapes(channels: Channels) -> Array | None:
    """Return each unit's kernels without their means, (units, numbers); None if none has a shape."""
    parts = []
    for filters in channels.filters.values():
        if filters.ndim > _POINTWISE and filters[0, 0, 0].size > 1:
            space = tuple(range(_POINTWISE, filters.ndim))
            centred = filters - filters.mean(axis=space, keepdims=True)
            parts.append(centred.reshape(channels.units, -1))
    return np.concatenate(parts, axis=1) if parts else None
