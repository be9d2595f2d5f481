"""float32 as it is: 4 bytes a value, no error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fedlite.wire.segments import Floats, Segments


@dataclass(frozen=True)
class Fp32:
    """IEEE 754 single precision, little-endian."""

    text: str = "fp32"
    carries_update: bool = False
    carries_model: bool = True
    lengthens: bool = False
    stochastic: bool = False
    stride: int = 4
    elementwise: bool = True
    linear: bool = True

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 4 bytes a value."""
        return self.stride * segments.total

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the values' own bytes."""
        del segments, rng
        return values.astype("<f4", copy=False).tobytes()

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return the values."""
        del segments
        return np.frombuffer(payload, "<f4").astype(np.float32, copy=True)
