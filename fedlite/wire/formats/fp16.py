"""float16: 2 bytes a value, relative error at most 2**-11 for values in its normal range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.errors import WireError

if TYPE_CHECKING:
    from fedlite.wire.segments import Floats, Segments

LARGEST = 65504.0
"""The largest finite float16 (IEEE 754 binary16)."""


@dataclass(frozen=True)
class Fp16:
    """IEEE 754 half precision, rounded to nearest, little-endian.

    Values between float16's normal range and zero lose precision: the error is at most `max(2**-11 * |x|, 2**-25)`.
    """

    text: str = "fp16"
    carries_update: bool = False
    carries_model: bool = True
    lengthens: bool = True
    stochastic: bool = False
    stride: int = 2
    elementwise: bool = True

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 2 bytes a value."""
        return self.stride * segments.total

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the rounded values.

        Raises
        ------
        WireError
            If a value is too large for float16; infinities would poison the model silently.
        """
        del segments, rng
        with np.errstate(over="ignore"):
            half = values.astype("<f2")
        if not np.isfinite(half).all():
            raise WireError(
                f"fp16: got a value of magnitude {np.abs(values).max():g}, expected at most {LARGEST:g}; "
                "use bf16 or fp32, or lower the learning rate if training diverges"
            )
        return half.tobytes()

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return the values as float32."""
        del segments
        return np.frombuffer(payload, "<f2").astype(np.float32)
