"""Weighted mean over clients that hold different parts of one model.

Each coordinate is averaged over the clients that hold it; a coordinate that nobody holds keeps its value. With
full-width clients only this is federated averaging, operation for operation.

References
----------
Diao, Ding, Tarokh 2021, "HeteroFL", equation 2 (mean over those that hold a coordinate, here weighted by examples).
McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.compression.width import IndexMap, Shape, is_whole
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]
Sum = NDArray[np.float64]

_ELEMENTS_AT_ONCE = (
    2**21
)  # elements of the float64 scratch array (16 MiB), so that big models do not multiply their memory


class OverlapSum:
    """Running sums of `weight * value` and of `weight` per coordinate, in float64, in the order of the calls.

    Adding clients one by one or stacked gives the same bits. Sums of chunks are merged in the order of the chunks, so
    that it does not matter who computed which chunk.

    Parameters
    ----------
    shapes : sequence of shapes
        The full model's tensors.
    """

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = [tuple(shape) for shape in shapes]
        self.sums: list[Sum] = [np.zeros(shape) for shape in self.shapes]
        self.weights: list[Sum] = [np.zeros(()) for _ in self.shapes]
        """Per tensor: one number as long as only whole tensors were added, else one per coordinate."""
        self.clients = 0

    def add(self, arrays: Sequence[Array], weight: float, maps: Sequence[IndexMap] | None = None) -> None:
        """Add one client. `maps` says where its tensors lie in the full model; None if it holds all of it."""
        self.add_stacked([np.asarray(array)[None] for array in arrays], np.array([weight]), maps)

    def add_stacked(
        self, stacked: Sequence[Array], weights: NDArray[Any], maps: Sequence[IndexMap] | None = None
    ) -> None:
        """Add K clients of one plan, whose tensors have a leading dimension K.

        Raises
        ------
        OverlapError
            If a weight is negative or not finite, or the number of tensors is wrong.
        """
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
            raise OverlapError(
                f"aggregation: got weights {weights!r}, expected one finite number of at least 0 per client; "
                "use the clients' numbers of examples"
            )
        if len(stacked) != len(self.shapes):
            raise OverlapError(
                f"aggregation: got {len(stacked)} tensors, expected {len(self.shapes)}; "
                "all clients train one architecture"
            )
        for position, values in enumerate(stacked):
            index = None if maps is None else maps[position]
            whole = index is None or is_whole(index)
            self._check(position, np.asarray(values), weights.size, None if whole else index)
            if whole or index is None:
                self.sums[position] = _in_order(self.sums[position], values, weights)
                self.weights[position] = _in_order(self.weights[position], np.ones(weights.size), weights)
            else:
                self._spread(position)
                target, mass = self.sums[position], self.weights[position]
                target[index] = _in_order(target[index], values, weights)
                mass[index] = _in_order(mass[index], np.broadcast_to(1.0, np.shape(values)), weights)
        self.clients += int(weights.size)

    def add_sums(self, sums: Sequence[Sum], weight: float, maps: Sequence[IndexMap] | None = None) -> None:
        """Add a chunk that was summed elsewhere, in the coordinates of its plan; `weight` is the sum of its weights."""
        for position, values in enumerate(sums):
            index = None if maps is None else maps[position]
            if index is None or is_whole(index):
                self.sums[position] = self.sums[position] + values
                self.weights[position] = self.weights[position] + weight
            else:
                self._spread(position)
                self.sums[position][index] += values
                self.weights[position][index] += weight

    def merge(self, other: OverlapSum) -> None:
        """Add the sums of a later chunk."""
        if other.shapes != self.shapes:
            raise OverlapError("aggregation: got sums of another model; merge only chunks of one round")
        for position, (total, mass) in enumerate(zip(other.sums, other.weights, strict=True)):
            self.sums[position] += total
            self.weights[position] = self.weights[position] + mass
        self.clients += other.clients

    def finish(self, global_arrays: Sequence[Array]) -> list[Array]:
        """Return the means, in the types of `global_arrays`, whose values stay where no client added any.

        Integer tensors (counters) are rounded to the nearest.
        """
        out: list[Array] = []
        for total, mass, old in zip(self.sums, self.weights, global_arrays, strict=True):
            seen = np.broadcast_to(mass > 0, total.shape)
            mean = np.divide(total, mass, out=np.zeros_like(total), where=seen)
            if not np.issubdtype(old.dtype, np.floating):
                mean = np.rint(mean)
            out.append(np.where(seen, mean.astype(old.dtype), old))
        return out

    def _spread(self, position: int) -> None:
        if self.weights[position].shape != self.shapes[position]:
            self.weights[position] = np.full(self.shapes[position], self.weights[position])

    def _check(self, position: int, values: Array, clients: int, index: IndexMap | None) -> None:
        shape = self.shapes[position] if index is None else self.sums[position][index].shape
        if values.shape != (clients, *shape):
            raise OverlapError(
                f"aggregation: got shape {values.shape} for tensor {position}, expected {(clients, *shape)} "
                "(clients first); pass the maps of the plan that these clients train"
            )


class OverlapError(FedliteError):
    """Clients' arrays do not fit the model they are aggregated into."""


def _in_order(start: Sum, values: Array, weights: Sum) -> Sum:
    """Return `((start + w0 v0) + w1 v1) + ...`, one client after the other for every coordinate."""
    values = np.asarray(values)
    size = int(np.prod(values.shape[1:]))
    rows = max(1, _ELEMENTS_AT_ONCE // max(1, size))
    total = start
    for first in range(0, weights.size, rows):
        part = values[first : first + rows]
        share = weights[first : first + rows].reshape(-1, *(1,) * (part.ndim - 1))
        scaled = np.multiply(part, share, dtype=np.float64, order="C")
        scaled[0] += total
        # The first axis of a C-ordered array is reduced row by row; only single numbers numpy adds pairwise.
        total = np.asarray(np.add.reduce(scaled, axis=0) if size > 1 else np.add.accumulate(scaled, axis=0)[-1])
    return total
