"""8, 4 or 2 bit integers, stochastically rounded: unbiased, really packed, one float32 scale per tensor or block.

References
----------
Alistarh et al. 2017, "QSGD: Communication-Efficient SGD via Gradient Quantization", section 3.1 (stochastic rounding to
levels); here the scale is the largest magnitude and not the 2-norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.bits import pack, packed_bytes, unpack
from fedlite.wire.errors import CodecError, WireError

if TYPE_CHECKING:
    from fedlite.wire.segments import Floats, Segments

_SCALE_BYTES = 4


@dataclass(frozen=True)
class StochasticInt:
    """A value x of a tensor with largest magnitude m becomes an integer q and is read back as q m / L.

    L = 2**(bits-1) - 1 and q, from -L to L, is floor(L x / m + u) with u uniform in [0, 1). So E[q m / L] = x, and the
    error is below one step, m / L.

    Parameters
    ----------
    bits : int
        8, 4 or 2.
    block : int
        Elements that share a scale; 0 for one scale per tensor. Small blocks cost 32 / block bits a value more and
        err less.
    """

    bits: int
    block: int = 0
    carries_update: bool = True
    lengthens: bool = True
    stochastic: bool = True
    stride: int = 1
    elementwise: bool = False

    @classmethod
    def parse(cls, bits: int, argument: str | None) -> StochasticInt:
        """Return the format of "int4" (one scale per tensor) or "int4:64" (one per 64 values)."""
        if argument is None:
            return cls(bits)
        if not argument.isdecimal() or len(argument) > 5 or not 8 <= int(argument) <= 65536:  # noqa: PLR2004 (stated in the message)
            raise CodecError(
                f"int{bits}: got block size {argument!r}, expected a whole number from 8 to 65536; "
                f"write for example 'int{bits}:256'"
            )
        return cls(bits, int(argument))

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"int{self.bits}:{self.block}" if self.block else f"int{self.bits}"

    @property
    def carries_model(self) -> bool:
        """Whether a step is at most a quarter of the largest magnitude: 2 bits know only zero and plus or minus it."""
        return self.levels >= 4  # noqa: PLR2004 (a quarter)

    @property
    def levels(self) -> int:
        """The largest integer L."""
        return int(2 ** (self.bits - 1) - 1)

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 4 bytes a scale and `ceil(bits * n / 8)` for n values."""
        # Counted, not cut into blocks: a forged header may announce far more values than its packet has bytes.
        scales = int((-(-segments.sizes // self.block)).sum()) if self.block else len(segments)
        return _SCALE_BYTES * scales + packed_bytes(segments.total, self.bits)

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the scales, then the packed integers, each stored as q + L."""
        if rng is None:
            raise WireError(
                f"{self.text}: rounding is random, got no generator; pass rng=fedlite.rng.stream(seed, ...)"
            )
        if not values.size:
            return b""
        segments = self._scaled(segments)
        scales = segments.max_abs(values)
        # Division by the largest magnitude cannot overflow, unlike its inverse; zero tensors give 0 / 1.
        steps = values / segments.spread(np.where(scales > 0, scales, np.float32(1)))
        steps *= np.float32(self.levels)
        steps += rng.random(values.size, np.float32)
        steps += np.float32(self.levels)
        np.floor(steps, out=steps)
        np.minimum(steps, np.float32(2 * self.levels), out=steps)  # x = m with u near 1 can round up to L + 1
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
        values *= segments.spread(scales / np.float32(self.levels))
        return values

    def _scaled(self, segments: Segments) -> Segments:
        return segments.blocks(self.block) if self.block else segments
