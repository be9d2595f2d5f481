"""A number format for the wire: float32 without its lowest byte, three bytes a value.

Source: IEEE 754-2019, table 3.5 (the lowest 8 of binary32's 23 fraction bits are left out).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlite.wire.segments import Floats, Segments


@dataclass(frozen=True)
class Fp24:
    """Cut, not rounded: relative error below 2**-15, and never longer."""

    cites: ClassVar[tuple[str, ...]] = (
        "@misc{ieee754, title = {IEEE 754-2019, Standard for floating-point arithmetic}}",
    )

    # Of the class and no fields: a field would take the argument of `fp24:Fp24:9`, which means nothing here.
    text: ClassVar[str] = "fp24"
    carries_update: ClassVar[bool] = False
    carries_model: ClassVar[bool] = True
    lengthens: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False
    stride: ClassVar[int] = 3

    def encoded_bytes(self, segments: Segments) -> int:
        """Return three bytes a value."""
        return 3 * segments.total

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the upper three bytes of every value."""
        return values.astype("<f4").view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return the values with a zero in their lowest byte."""
        words = np.zeros((segments.total, 4), np.uint8)
        words[:, 1:] = np.frombuffer(payload, np.uint8).reshape(-1, 3)
        return words.view("<f4").reshape(-1).astype(np.float32)
