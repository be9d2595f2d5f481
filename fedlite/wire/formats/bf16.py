"""bfloat16: the upper half of a float32, 2 bytes a value, relative error at most 2**-8, the full float32 range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fedlite.wire.segments import Floats, Segments

_HALF = np.uint32(16)
_LARGEST = np.uint32(0x7F7F)  # rounding the largest float32 up would give infinity
_SIGN = np.uint32(0x8000)


@dataclass(frozen=True)
class Bf16:
    """bfloat16, rounded to nearest with ties to even, saturating at its largest finite value, little-endian."""

    text: str = "bf16"
    carries_update: bool = True
    carries_model: bool = True
    lengthens: bool = True
    stochastic: bool = False
    stride: int = 2
    elementwise: bool = True

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 2 bytes a value."""
        return self.stride * segments.total

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the upper halves, rounded."""
        del segments, rng
        word = values.view(np.uint32)
        # Adding just under half of the last kept bit, plus that bit itself, rounds ties to even.
        upper = (word + np.uint32(0x7FFF) + ((word >> _HALF) & np.uint32(1))) >> _HALF
        magnitude = np.minimum(upper & ~_SIGN, _LARGEST)
        return bytes((magnitude | (upper & _SIGN)).astype("<u2").tobytes())

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return the values as float32."""
        del segments
        return (np.frombuffer(payload, "<u2").astype(np.uint32) << _HALF).view(np.float32)
