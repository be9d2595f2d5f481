"""A random rotation of a flat vector: afterwards every coordinate looks normal, whatever the vector looked like.

The vector is cut into chunks of 4096 coordinates, and what is left into chunks of smaller powers of two, so that at
most 255 zeros are appended. Each chunk is rotated by random signs and a Hadamard transform, three times over, small
ones five times: once, as is usual, leaves vectors with few large coordinates on a few distinct values, and what is
quantised to one bit then comes back biased by as much as half of a coordinate, three times in a chunk of 256 by one or
two percent (`tests/unit/test_wire_eden.py` has the numbers).

A transform is two products of small matrices of ones and minus ones, for which there are fast routines. They add in
whatever order suits the machine, so what they are given are whole numbers, small enough that every sum is exact: the
same bits everywhere.

References
----------
Ailon, Chazelle 2009, "The fast Johnson-Lindenstrauss transform and approximate nearest neighbors".
Suresh et al. 2017, "Distributed Mean Estimation with Limited Communication" (rotation before quantisation).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats

LARGEST: Final = 4096
SMALLEST: Final = 256
_ROUNDS: Final = 3
_MORE: Final = 2
"""Rounds of chunks smaller than the largest, whose sums take fewer distinct values."""
_AT_ONCE: Final = 32
"""Chunks rotated at a time: 512 KiB, which stay in the cache."""
_INTEGER_BITS: Final = 17
"""Of the coordinates before a product: sums of 64 of them are below 2**24, up to which float32 is exact."""
_SIGN: Final = np.uint32(31)

Group = tuple[int, int]
"""How many chunks, and of how many coordinates."""


def groups(count: int) -> list[Group]:
    """Return the chunks of `count` coordinates, the largest first."""
    whole, rest = divmod(padded(count), LARGEST)
    sizes = [1 << place for place in reversed(range(LARGEST.bit_length())) if rest >> place & 1]
    return [*([(whole, LARGEST)] if whole else []), *((1, size) for size in sizes)]


def padded(count: int) -> int:
    """Return the coordinates after rotation."""
    return -(-count // SMALLEST) * SMALLEST


class Rotation:
    """A rotation that follows from a seed.

    Parameters
    ----------
    seed : int
        Of 64 bits.
    count : int
        Coordinates of the vectors to rotate.
    """

    def __init__(self, seed: int, count: int) -> None:
        self.count = count
        # Raw words of the counter-based generator: unlike numpy's methods they are the same in every version.
        length, self._whole = padded(count), padded(count) // LARGEST * LARGEST
        words = np.random.Philox(key=seed).random_raw((_ROUNDS * length + _MORE * (length - self._whole)) // 64)
        signs = words.astype("<u8", copy=False).view(np.uint8)
        every, self._more = signs[: _ROUNDS * length // 8], signs[_ROUNDS * length // 8 :].reshape(_MORE, -1)
        self._bits = every.reshape(_ROUNDS, -1)

    def parts(self) -> Iterator[tuple[slice, int]]:
        """Yield where some chunks of one size lie, and their size; together they are all coordinates."""
        start = 0
        for chunks, size in groups(self.count):
            for first in range(0, chunks, _AT_ONCE):
                stop = start + min(_AT_ONCE, chunks - first) * size
                yield slice(start, stop), size
                start = stop

    def forward(self, chunks: Floats, where: slice) -> Floats:
        """Return chunks (M, size), at `where`, one of `parts`, rotated; the argument is overwritten."""
        exponents = np.zeros(len(chunks), np.int32)
        rounds = _rounds(chunks)
        for number in range(rounds):
            self._flip(chunks, number, where)
            chunks = _hadamard(chunks, exponents)
        return _shrunk(chunks, exponents, rounds)

    def backward(self, chunks: Floats, where: slice) -> Floats:
        """Return chunks rotated back; the argument is overwritten."""
        exponents = np.zeros(len(chunks), np.int32)
        rounds = _rounds(chunks)
        for number in reversed(range(rounds)):
            chunks = _hadamard(chunks, exponents)
            self._flip(chunks, number, where)
        return _shrunk(chunks, exponents, rounds)

    def _flip(self, chunks: Floats, number: int, where: slice) -> None:
        bits, start = (self._bits[number], 0) if number < _ROUNDS else (self._more[number - _ROUNDS], self._whole)
        signs = np.take(_signs(), bits[(where.start - start) // 8 : (where.stop - start) // 8], axis=0)
        chunks.view(np.uint32).reshape(-1, 8)[...] ^= signs


def _rounds(chunks: Floats) -> int:
    return _ROUNDS if chunks.shape[1] == LARGEST else _ROUNDS + _MORE


@cache
def _signs() -> NDArray[np.uint32]:
    """Return the sign bits of eight float32 that each value of a byte stands for, its lowest bit first."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return bits.astype(np.uint32) << _SIGN


def _hadamard(chunks: Floats, exponents: NDArray[np.int32]) -> Floats:
    """Return the Hadamard transform of every row, times a power of two that is added to `exponents`.

    A row is read as a matrix: the transform is one along each of its sides.
    """
    size = chunks.shape[1]
    side = 1 << size.bit_length() // 2
    wide = _integers(chunks, exponents).reshape(-1, side) @ _matrix(side)
    both = _matrix(size // side) @ _integers(wide.reshape(-1, size), exponents).reshape(-1, size // side, side)
    return both.reshape(-1, size)


def _integers(chunks: Floats, exponents: NDArray[np.int32]) -> Floats:
    """Return every row scaled by a power of two and rounded to integers below 2**17, in place."""
    shifts = _INTEGER_BITS - np.frexp(np.maximum(chunks.max(axis=1), -chunks.min(axis=1)))[1]
    exponents += shifts
    chunks *= np.ldexp(np.float32(1), shifts)[:, None]
    return np.rint(chunks, out=chunks)


def _shrunk(chunks: Floats, exponents: NDArray[np.int32], rounds: int) -> Floats:
    """Return rows without the powers of two, and without what so many transforms lengthen by."""
    size = chunks.shape[1]
    longer = size ** (rounds // 2) * math.sqrt(size)
    chunks *= (np.ldexp(1.0, -exponents) / longer)[:, None].astype(np.float32)
    return chunks


@cache
def _matrix(side: int) -> Floats:
    """Return the Hadamard matrix of a power of two (Sylvester's), not normalised."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < side:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]]).astype(np.float32)
    return matrix
