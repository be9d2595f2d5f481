"""Where the tensors lie in the one flat vector of a packet, for number formats that keep a scale per tensor."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.float32]


class Segments:
    """Consecutive stretches of a flat vector, one per non-empty tensor (or per block of one).

    Parameters
    ----------
    sizes : sequence of int
        Elements of each tensor. Empty tensors take no place and get no scale.
    shapes : sequence of shapes, optional
        Of the same tensors, where all of their elements are there.
    """

    def __init__(
        self, sizes: Sequence[int] | NDArray[np.int64], shapes: Sequence[tuple[int, ...]] | None = None
    ) -> None:
        given = np.asarray(sizes, np.int64).reshape(-1)
        self._all = given
        self._shapes = shapes
        self.sizes: NDArray[np.int64] = given[given > 0]
        self.total = int(self.sizes.sum())

    def __len__(self) -> int:
        return int(self.sizes.size)

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each segment; (n,) where the tensors are not whole, as after a sparsifier."""
        if self._shapes is None:
            return tuple((size,) for size in self.sizes.tolist())
        return tuple(shape for shape, size in zip(self._shapes, self._all, strict=True) if size)

    @property
    def row_count(self) -> int:
        """How many segments `rows` has; counted without making any."""
        return sum(_rows(shape) for shape in self.shapes)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First index of each segment."""
        return np.asarray(np.cumsum(self.sizes) - self.sizes)

    @cached_property
    def _ends_of_all(self) -> NDArray[np.int64]:
        return np.asarray(np.cumsum(self._all))

    def max_abs(self, values: Floats) -> Floats:
        """Return the largest magnitude of each segment."""
        return np.asarray(np.maximum.reduceat(np.abs(values), self.starts), np.float32)

    def mean_abs(self, values: Floats) -> Floats:
        """Return the mean magnitude of each segment, summed in float64."""
        sums = np.add.reduceat(np.abs(values, dtype=np.float64), self.starts)
        return np.asarray(sums / self.sizes, np.float32)

    def spread(self, per_segment: Floats) -> Floats:
        """Return one number per element from one per segment."""
        return np.repeat(per_segment, self.sizes)

    def at(self, positions: NDArray[Any]) -> Segments:
        """Return the segments of the elements kept at the sorted `positions`."""
        ends = np.searchsorted(positions, self._ends_of_all)
        return Segments(np.diff(ends, prepend=0))

    def rows(self) -> Segments:
        """Return the segments cut into the rows of their first dimension, where they have two or more dimensions."""
        counts = np.array([_rows(shape) for shape in self.shapes], np.int64)
        return Segments(np.repeat(self.sizes // np.maximum(counts, 1), counts))

    def blocks(self, block: int) -> Segments:
        """Return the segments cut into blocks of at most `block` elements; a block never spans two tensors."""
        counts = -(-self.sizes // block)
        sizes = np.full(int(counts.sum()), block, np.int64)
        sizes[np.cumsum(counts) - 1] = self.sizes - (counts - 1) * block
        return Segments(sizes)


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) > 1 else 1
