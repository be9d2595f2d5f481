"""What integers with a scale have in common, however they are rounded: scales first, then the packed integers."""

from __future__ import annotations

from abc import abstractmethod
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
class ScaledInt:
    """A value x of a stretch with largest magnitude m becomes an integer q from -L to L, and is read back as q m / L.

    Parameters
    ----------
    bits : int
        8, 4 or 2; L = 2**(bits-1) - 1.
    """

    bits: int

    @property
    @abstractmethod
    def text(self) -> str:
        """The stage as people write it."""

    @abstractmethod
    def _scaled(self, segments: Segments) -> Segments:
        """Return the stretches that have a scale each."""

    @abstractmethod
    def _scales(self, segments: Segments) -> int:
        """Return how many these are, counted and not made: a forged header may announce more than it has bytes."""

    @abstractmethod
    def _round(self, steps: Floats, rng: np.random.Generator | None) -> None:
        """Turn L x / m into q + L, in place."""

    @property
    def levels(self) -> int:
        """The largest integer L."""
        return int(2 ** (self.bits - 1) - 1)

    def fields(self, segments: Segments) -> Fields:
        """Return as many integers as values."""
        return Fields(segments.total, self.bits)

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 4 bytes a scale and `ceil(bits * n / 8)` for n values."""
        return _SCALE_BYTES * self._scales(segments) + packed_bytes(segments.total, self.bits)

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the scales, then the packed integers, each stored as q + L."""
        if not values.size:
            return b""
        segments = self._scaled(segments)
        scales = segments.max_abs(values)
        # Division by the largest magnitude cannot overflow, unlike its inverse; zero tensors give 0 / 1.
        steps = values / segments.spread(np.where(scales > 0, scales, np.float32(1)))
        steps *= np.float32(self.levels)
        self._round(steps, rng)
        return scales.astype("<f4", copy=False).tobytes() + pack(steps.astype(np.uint8), self.bits)

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return q m / L for each value."""
        if not segments.total:
            return np.zeros(0, np.float32)
        segments = self._scaled(segments)
        cut = _SCALE_BYTES * len(segments)
        scales = np.frombuffer(payload[:cut], "<f4").astype(np.float32)
        fields = unpack(payload[cut:], segments.total, self.bits)
        if fields.max() > 2 * self.levels or not (np.isfinite(scales).all() and scales.min() >= 0):
            raise WireError(f"corrupt packet: a scale or integer out of range for {self.text}; send the packet again")
        values = fields.astype(np.float32)
        values -= np.float32(self.levels)
        # No integer times a step is beyond float32, as rounding would have it for the largest magnitude there is.
        most = np.nextafter(np.finfo(np.float32).max / np.float32(self.levels), np.float32(0))
        values *= segments.spread(np.minimum(scales / np.float32(self.levels), most))
        return values
