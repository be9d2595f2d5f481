"""8, 4 or 2 bit integers, rounded to nearest: for models that are stored or sent down, one scale per output row.

A model that was trained against such rounding has another grid, one scale for each weight tensor and biases that stay
float32: that is "rtn8:weights". The error of a value is at most half a step, half of what stochastic rounding may err,
and always the same; but it does not average out over clients.

References
----------
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference".
Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference", section 3 (a scale per channel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.formats.scaled_int import ScaledInt
from fedlite.wire.segments import Segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.formats.base import Fields
    from fedlite.wire.segments import Floats

_WEIGHTS = "weights"
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Rtn(ScaledInt):
    """The integer q is L x / m rounded to nearest (ties to even), with m the largest magnitude of a row.

    Parameters
    ----------
    bits : int
        8, 4 or 2. Behind a sparsifier, which leaves no rows, a whole tensor has one scale.
    """

    carries_update: bool = True
    lengthens: bool = True
    stochastic: bool = False
    stride: int = 1
    elementwise: bool = False

    @classmethod
    def parse(cls, bits: int, argument: str | None) -> Rtn | RtnWeights:
        """Return the format of "rtn8" (a scale per row) or "rtn8:weights"."""
        if argument not in (None, _WEIGHTS):
            raise CodecError(f"rtn{bits}: got {argument!r}, expected 'rtn{bits}' or 'rtn{bits}:{_WEIGHTS}'; write one")
        return RtnWeights(cls(bits)) if argument == _WEIGHTS else cls(bits)

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"rtn{self.bits}"

    @property
    def carries_model(self) -> bool:
        """Whether half a step is at most a quarter of the largest magnitude."""
        return self.levels >= 2  # noqa: PLR2004 (a quarter)

    def _round(self, steps: Floats, rng: np.random.Generator | None) -> None:
        del rng
        np.rint(steps, out=steps)
        steps += np.float32(self.levels)

    def _scaled(self, segments: Segments) -> Segments:
        return segments.rows()

    def _scales(self, segments: Segments) -> int:
        return segments.row_count


@dataclass(frozen=True)
class RtnWeights:
    """Tensors of two or more dimensions rounded to nearest with one scale each; the others, such as biases, float32.

    Parameters
    ----------
    rounding : Rtn
    """

    rounding: Rtn
    carries_update: bool = True
    lengthens: bool = True
    stochastic: bool = False
    stride: int = 1
    elementwise: bool = False
    needs_shapes: bool = True

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"{self.rounding.text}:{_WEIGHTS}"

    @property
    def carries_model(self) -> bool:
        """As the rounding of rows does."""
        return self.rounding.carries_model

    def fields(self, segments: Segments) -> Fields:
        """Return as many integers as values of weights."""
        return self.rounding.fields(_weights(segments))

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 4 bytes for each weight tensor and each value of another, and `ceil(bits * n / 8)` for n weights."""
        weights = _weights(segments)
        return _FLOAT_BYTES * (segments.total - weights.total) + self.rounding.encoded_bytes(weights)

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return the values of other tensors, then the scales and packed integers of weights."""
        is_weight, weights = _where(segments), _weights(segments)
        return values[~is_weight].astype("<f4").tobytes() + self.rounding.encode(values[is_weight], weights, rng)

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return the values in their places."""
        is_weight, weights = _where(segments), _weights(segments)
        cut = _FLOAT_BYTES * (segments.total - weights.total)
        others = np.frombuffer(payload[:cut], "<f4")
        if not np.isfinite(others).all():
            raise WireError(f"corrupt packet: a value out of range for {self.text}; send the packet again")
        values = np.empty(segments.total, np.float32)
        values[~is_weight] = others
        values[is_weight] = self.rounding.decode(payload[cut:], weights)
        return values


def _weights(segments: Segments) -> Segments:
    """Return the stretches of tensors with two or more dimensions, as if they were one behind the other."""
    pairs = zip(segments.sizes.tolist(), segments.shapes, strict=True)
    # Without shapes, so that no row has a scale of its own.
    return Segments([size for size, shape in pairs if len(shape) > 1])


def _where(segments: Segments) -> NDArray[np.bool_]:
    """Return which values are those of such tensors."""
    return np.repeat(np.array([len(shape) > 1 for shape in segments.shapes], bool), segments.sizes)
