"""8, 4 or 2 bit integers, rounded to nearest: for models that are stored or sent down, one scale per output row.

The error of a value is at most half a step, half of what stochastic rounding may err, and always the same; but it does
not average out over clients.

References
----------
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference".
Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference", section 3 (a scale per channel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.errors import CodecError
from fedlite.wire.formats.scaled_int import ScaledInt

if TYPE_CHECKING:
    from fedlite.wire.segments import Floats, Segments

_TENSOR = "tensor"


@dataclass(frozen=True)
class Rtn(ScaledInt):
    """The integer q is L x / m rounded to nearest (ties to even), with m the largest magnitude of a row.

    Parameters
    ----------
    bits : int
        8, 4 or 2.
    per_tensor : bool
        One scale for each tensor, and not for each row of the first dimension of those with two or more. Behind a
        sparsifier, which leaves no rows, it is always so.
    """

    per_tensor: bool = False
    carries_update: bool = True
    lengthens: bool = True
    stochastic: bool = False
    stride: int = 1
    elementwise: bool = False

    @classmethod
    def parse(cls, bits: int, argument: str | None) -> Rtn:
        """Return the format of "rtn8" (a scale per row) or "rtn8:tensor"."""
        if argument not in (None, _TENSOR):
            raise CodecError(f"rtn{bits}: got {argument!r}, expected 'rtn{bits}' or 'rtn{bits}:{_TENSOR}'; write one")
        return cls(bits, argument == _TENSOR)

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"rtn{self.bits}:{_TENSOR}" if self.per_tensor else f"rtn{self.bits}"

    @property
    def carries_model(self) -> bool:
        """Whether half a step is at most a quarter of the largest magnitude."""
        return self.levels >= 2  # noqa: PLR2004 (a quarter)

    def _round(self, steps: Floats, rng: np.random.Generator | None) -> None:
        del rng
        np.rint(steps, out=steps)
        steps += np.float32(self.levels)

    def _scaled(self, segments: Segments) -> Segments:
        return segments if self.per_tensor else segments.rows()

    def _scales(self, segments: Segments) -> int:
        return len(segments) if self.per_tensor else segments.row_count
