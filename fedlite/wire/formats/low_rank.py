"""Every matrix as two factors of a few columns, float32; vectors, and matrices that are too small, as they are.

Exact, up to rounding, for matrices of that rank, such as the stage `power-sgd` leaves; otherwise near to the best
approximation of that rank, by a few steps of subspace iteration.

References
----------
Vogels, Karimireddy, Jaggi 2019, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization".
Halko, Martinsson, Tropp 2011, "Finding structure with randomness" (how near a few steps come).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.wire.errors import CodecError, WireError
from fedlite.wire.low_rank import product, rank_of, sides, step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats, Segments

_VALUE_BYTES = 4
_MOST = 1024
_STEPS: Final = 4
_LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class LowRank:
    """A tensor of shape (out, ...) is a matrix M (out, rest) and is read back as P Q^T, P (out, R) and Q (rest, R).

    Parameters
    ----------
    rank : int
        R.
    """

    rank: int
    carries_update: bool = True
    carries_model: bool = False
    lengthens: bool = True
    stochastic: bool = False
    stride: int = 4
    elementwise: bool = False
    needs_shapes: bool = True

    @classmethod
    def parse(cls, argument: str | None) -> LowRank:
        """Return the format of "lowrank:4", which is also "lowrank"."""
        if argument is None:
            return cls(4)
        if not argument.isdecimal() or len(argument) > 4 or not 1 <= int(argument) <= _MOST:  # noqa: PLR2004 (stated in the message)
            raise CodecError(
                f"lowrank: got rank {argument!r}, expected a whole number from 1 to {_MOST}; "
                "write for example 'lowrank:4'"
            )
        return cls(int(argument))

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"lowrank:{self.rank}"

    def encoded_bytes(self, segments: Segments) -> int:
        """Return 4 bytes for each value of a factor, and each value that has none."""
        return _VALUE_BYTES * sum(self._numbers(shape) for shape in segments.shapes)

    def encode(self, values: Floats, segments: Segments, rng: np.random.Generator | None) -> bytes:
        """Return P and Q of each matrix, and other tensors as they are."""
        del rng
        parts: list[NDArray[np.float64] | Floats] = []
        for start, size, shape in zip(segments.starts, segments.sizes, segments.shapes, strict=True):
            part = values[start : start + size]
            if rank := rank_of(shape, self.rank):
                parts += self._factors(part.reshape(sides(shape)).astype(np.float64), rank)
            else:
                parts.append(part)
        return b"".join(np.clip(part, -_LARGEST, _LARGEST).astype("<f4").tobytes() for part in parts)

    def decode(self, payload: memoryview, segments: Segments) -> Floats:
        """Return P Q^T of each matrix."""
        told = np.frombuffer(payload, "<f4").astype(np.float32)
        if not np.isfinite(told).all():
            raise WireError(f"corrupt packet: a factor out of range for {self.text}; send the packet again")
        values = np.empty(segments.total, np.float32)
        begin = 0
        for start, size, shape in zip(segments.starts, segments.sizes, segments.shapes, strict=True):
            part = told[begin : begin + self._numbers(shape)]
            begin += part.size
            if rank := rank_of(shape, self.rank):
                rows, _ = sides(shape)
                left, right = part[: rows * rank].reshape(-1, rank), part[rows * rank :].reshape(-1, rank)
                whole = product(left.astype(np.float64), right.astype(np.float64))
                part = np.clip(whole, -_LARGEST, _LARGEST).reshape(-1).astype(np.float32)
            values[start : start + size] = part
        return values

    def _numbers(self, shape: tuple[int, ...]) -> int:
        rows, columns = sides(shape) if shape else (1, 1)
        return rank_of(shape, self.rank) * (rows + columns) or rows * columns

    def _factors(self, matrix: NDArray[np.float64], rank: int) -> list[NDArray[np.float64]]:
        """Return P, which has the magnitude, and Q."""
        largest = float(np.abs(matrix).max()) or 1.0
        matrix = matrix / largest  # so that no factor is beyond float32
        words = np.random.Philox(key=rank).random_raw(matrix.shape[1] * rank)
        right = words.astype(np.float64).reshape(-1, rank) / 2.0**63 - 1
        for _ in range(_STEPS):
            left, right = step(matrix, right)
        return [left * largest, right]
