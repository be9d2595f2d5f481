"""How many channels a narrower model keeps, and how they lie in concatenated tensors.

A width slice keeps a prefix of each hidden dimension, so that all widths of one model are nested in each other.

References
----------
Diao, Ding, Tarokh 2021, "HeteroFL", section 3 (nested width reduction).
"""

from __future__ import annotations

import math
from typing import Final

Blocks = dict[str, dict[int, tuple[int, ...]]]
"""State-dict tensor -> dimension -> sizes of the consecutive blocks of which a narrower model keeps each prefix."""

CHANNEL_MULTIPLE: Final = 8
"""Widths of normalised convolutions are multiples of this, the channels of one normalisation group (see `norms`)."""


def scaled(channels: int, width: float, multiple: int = 1) -> int:
    """Return the channels kept of `channels` at a width in (0, 1]: the nearest multiple, halves upwards, at least one.

    Never decreases when the width grows, and equals `channels` at width 1.
    """
    if width == 1.0:
        return channels
    return min(channels, max(multiple, math.floor(channels * width / multiple + 0.5) * multiple))


def divisible(channels: float) -> int:
    """Round to a multiple of 8 that is not below nine tenths of the wish, as the published nets do."""
    rounded = max(CHANNEL_MULTIPLE, int(channels + CHANNEL_MULTIPLE / 2) // CHANNEL_MULTIPLE * CHANNEL_MULTIPLE)
    return rounded + CHANNEL_MULTIPLE if rounded < 0.9 * channels else rounded
