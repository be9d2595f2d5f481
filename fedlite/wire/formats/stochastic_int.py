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

from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.formats.scaled_int import ScaledInt

if TYPE_CHECKING:
    from fedlite.wire.segments import Floats, Segments


@dataclass(frozen=True)
class StochasticInt(ScaledInt):
    """The integer q is floor(L x / m + u) with u uniform in [0, 1), for a tensor with largest magnitude m.

    So E[q m / L] = x, and the error is below one step, m / L.

    Parameters
    ----------
    bits : int
        8, 4 or 2.
    block : int
        Elements that share a scale; 0 for one scale per tensor. Small blocks cost 32 / block bits a value more and
        err less.
    """

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

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the scales, then the packed integers, each stored as q + L."""
        if rng is None:
            raise WireError(
                f"{self.text}: rounding is random, got no generator; pass rng=fedlite.rng.stream(seed, ...)"
            )
        return super().encode(values, segments, rng)

    def _round(self, steps: Floats, rng: np.random.Generator | None) -> None:
        if rng is not None:  # `encode` has asked for it
            steps += rng.random(steps.size, np.float32)
        # Before L is added: beside 127 a u just below 1 would be rounded to 1, and make something of zeros.
        np.floor(steps, out=steps)
        steps += np.float32(self.levels)
        np.minimum(steps, np.float32(2 * self.levels), out=steps)  # x = m with u near 1 can round up to L + 1

    def _scaled(self, segments: Segments) -> Segments:
        return segments.blocks(self.block) if self.block else segments

    def _scales(self, segments: Segments) -> int:
        return int((-(-segments.sizes // self.block)).sum()) if self.block else len(segments)
