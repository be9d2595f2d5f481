"""Weighted mean over clients that hold different parts of one model.

Each coordinate is averaged over the clients that hold it. A coordinate that clients were given but hold at zero by a
mask, all of them, becomes zero; one that nobody was given keeps its value. With clients that hold everything this is
federated averaging, operation for operation.

References
----------
Diao, Ding, Tarokh 2021, "HeteroFL", equation 2 (mean over those that hold a coordinate, here weighted by examples).
McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]
Sum = NDArray[np.float64]
Shape = tuple[int, ...]
IndexMap = tuple[slice | NDArray[np.intp] | np.bool_, ...]
"""One numpy index per dimension: `full[index_map]` is the submodel's tensor; `(np.False_,)` takes nothing of any."""
Held = list[NDArray[Any] | None]
"""Per tensor: 1 where a client holds the coordinate and 0 where it does not; None where it holds all of them."""

_ELEMENTS_AT_ONCE = (
    2**21
)  # elements of the float64 scratch array (16 MiB), so that big models do not multiply their memory


class OverlapError(FedliteError):
    """Clients' arrays do not fit the model they are aggregated into."""


class OverlapSum:
    """Running sums of `weight * value` and of `weight` per coordinate, in float64, in the order of the calls.

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
        self._masked: list[NDArray[np.bool_] | None] = [None] * len(self.shapes)
        """Coordinates that some client was given and holds at zero."""

    def add(
        self,
        sums: Sequence[Array],
        weight: float,
        maps: Sequence[IndexMap] | None = None,
        held: Held | None = None,
    ) -> None:
        """Add clients.

        Parameters
        ----------
        sums : sequence of arrays
            Their tensors, each times its client's weight, summed (see `weighted_sums`).
        weight : float
            Sum of their weights.
        maps : sequence of index maps, optional
            Where the tensors lie in the full model; None if they are whole.
        held : list, optional
            Which coordinates of `sums` the clients hold; None where all.

        Raises
        ------
        OverlapError
            If the weight is negative or not finite, or tensors do not fit.
        """
        if not (np.isfinite(weight) and weight >= 0):
            raise OverlapError(
                f"aggregation: got weight {weight!r}, expected a finite number of at least 0; "
                "use the clients' numbers of examples"
            )
        if len(sums) != len(self.shapes):
            raise OverlapError(
                f"aggregation: got {len(sums)} tensors, expected {len(self.shapes)}; all clients train one architecture"
            )
        for position, values in enumerate(sums):
            index: IndexMap | tuple[()] = () if maps is None else maps[position]
            mask = None if held is None else held[position]
            self._check(position, values, index)
            if mask is None and (maps is None or is_whole(maps[position])):
                # Sums of arrays without dimensions are numbers, to which nothing could be added in place.
                self.sums[position] = np.asarray(self.sums[position] + values)
                self.weights[position] = np.asarray(self.weights[position] + weight)
                continue
            self._spread(position)
            keep = 1.0 if mask is None else mask
            self.sums[position][index] += values * keep
            self.weights[position][index] += np.broadcast_to(weight * keep, values.shape)
            if mask is not None:
                self._mark(position, index, mask)

    def finish(self, global_arrays: Sequence[Array], *, zero_masked: bool = True) -> list[Array]:
        """Return the means, in the types of `global_arrays`, whose values stay where no client was given any.

        Integer tensors (counters) are rounded to the nearest. With `zero_masked=False` the values of `global_arrays`
        stay also where clients were given a coordinate that none of them holds.
        """
        out: list[Array] = []
        for total, mass, masked, old in zip(self.sums, self.weights, self._masked, global_arrays, strict=True):
            seen = np.broadcast_to(mass > 0, total.shape)
            mean = np.divide(total, mass, out=np.zeros_like(total), where=seen)
            if not np.issubdtype(old.dtype, np.floating):
                mean = np.rint(mean)
            known = seen | masked if zero_masked and masked is not None else seen
            out.append(np.where(known, mean.astype(old.dtype), old))
        return out

    def _spread(self, position: int) -> None:
        if self.weights[position].shape != self.shapes[position]:
            self.weights[position] = np.full(self.shapes[position], self.weights[position])

    def _mark(self, position: int, index: IndexMap | tuple[()], mask: Array) -> None:
        marks = self._masked[position]
        if marks is None:
            marks = self._masked[position] = np.zeros(self.shapes[position], dtype=np.bool_)
        marks[index] |= np.asarray(mask) == 0

    def _check(self, position: int, values: Array, index: IndexMap | tuple[()]) -> None:
        shape = self.sums[position][index].shape
        if values.shape != shape:
            raise OverlapError(
                f"aggregation: got shape {values.shape} for tensor {position}, expected {shape}; "
                "pass the maps of the plan that these clients train"
            )


def is_whole(index: IndexMap) -> bool:
    """Return whether a map takes the whole tensor."""
    return all(isinstance(part, slice) and part == slice(None) for part in index)


def weighted_sums(
    stacked: Sequence[Array], weights: NDArray[np.float64], begun: Sequence[Sum] | None = None
) -> list[Sum]:
    """Return per tensor `w0 v0 + w1 v1 + ...` over the clients, one after the other, in float64.

    Parameters
    ----------
    stacked : sequence of arrays, each (K, *shape)
    weights : ndarray, shape (K,)
    begun : sequence of arrays, optional
        The sums over the clients before these, to be continued.
    """
    totals = [np.zeros(values.shape[1:]) for values in stacked] if begun is None else begun
    weights = np.asarray(weights, np.float64)
    return [_in_order(np.asarray(values), weights, total) for values, total in zip(stacked, totals, strict=True)]


def _in_order(values: Array, weights: Sum, total: Sum) -> Sum:
    size = int(np.prod(values.shape[1:]))
    rows = max(1, _ELEMENTS_AT_ONCE // max(1, size))
    for first in range(0, weights.size, rows):
        part = values[first : first + rows]
        share = weights[first : first + rows].reshape(-1, *(1,) * (part.ndim - 1))
        scaled = np.multiply(part, share, dtype=np.float64, order="C")
        scaled[0] += total
        # The first axis of a C-ordered array is reduced row by row; only single numbers numpy adds pairwise.
        total = np.asarray(np.add.reduce(scaled, axis=0) if size > 1 else np.add.accumulate(scaled, axis=0)[-1])
    return total
