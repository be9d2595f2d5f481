"""One bit a value: the sign, times the mean magnitude of the tensor. Biased: use it with error feedback.

References
----------
Karimireddy et al. 2019, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", section 4 (scaled sign).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.bits import pack, packed_bytes, unpack
from fedlite.wire.errors import WireError
from fedlite.wire.formats.base import Fields

if TYPE_CHECKING:
    from fedlite.wire.segments import Floats, Segments

_SCALE_BYTES = 4


@dataclass(frozen=True)
class Sign:
    """A value x of a tensor with mean magnitude a becomes +a (x >= 0) or -a.

    The error is a contraction: `||x - C(x)||**2 == ||x||**2 - n * a**2`.
    """

    text: str = "sign"
    carries_update: bool = True
    carries_model: bool = False
    lengthens: bool = True
    stochastic: bool = False
    stride: int = 1
    elementwise: bool = False

    def fields(self, segments: Segments) -> Fields:
        """Return as many bits as values."""
        return Fields(segments.total, 1)

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 4 bytes a tensor and 1 bit a value."""
        return _SCALE_BYTES * len(segments) + packed_bytes(segments.total, 1)

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the mean magnitudes, then the packed signs (1 is negative)."""
        del rng
        if not values.size:
            return b""
        return segments.mean_abs(values).astype("<f4").tobytes() + pack((values < 0).view(np.uint8), 1)

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return plus or minus the mean magnitude."""
        if not segments.total:
            return np.zeros(0, np.float32)
        cut = _SCALE_BYTES * len(segments)
        scales = np.frombuffer(payload[:cut], "<f4").astype(np.float32)
        if not (np.isfinite(scales).all() and scales.min() >= 0):
            raise WireError("corrupt packet: a scale out of range for sign; send the packet again")
        values = segments.spread(scales)
        values.view(np.uint32)[...] |= unpack(payload[cut:], segments.total, 1).astype(np.uint32) << np.uint32(31)
        return values
