"""Tensors as matrices (out, rest), and the two factors of a few columns that come near to one.

Every product is summed in numpy's own order and not by a linear algebra library, whose bits depend on its threads.

References
----------
Vogels, Karimireddy, Jaggi 2019, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization",
algorithm 1 (a step of subspace iteration with orthogonalisation).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_VANISHED: Final = 1e-10
"""Share of its length below which what is left of a column is rounding noise."""


def sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows and columns of a tensor as a matrix: its first dimension, and all others together."""
    return shape[0], math.prod(shape[1:])


def rank_of(shape: tuple[int, ...], rank: int) -> int:
    """Return the columns of the factors, or 0 where they would not be smaller than the tensor itself."""
    if len(shape) < 2:  # noqa: PLR2004 (a vector has no factors)
        return 0
    rows, columns = sides(shape)
    rank = min(rank, rows, columns)
    return rank if rank * (rows + columns) < rows * columns else 0


def step(matrix: Matrix, start: Matrix) -> tuple[Matrix, Matrix]:
    """Return P with orthonormal columns and Q = M^T P, one step of subspace iteration from `start` (columns, rank).

    P Q^T is the projection of M to what P spans: never longer than M, and M itself if its rank is not greater and
    `start` is in no special position. Columns of P beyond the rank of M are zero.
    """
    left = orthonormal(np.stack([np.einsum("ij,j->i", matrix, column) for column in start.T], axis=1))
    return left, np.stack([np.einsum("ij,i->j", matrix, column) for column in left.T], axis=1)


def product(left: Matrix, right: Matrix) -> Matrix:
    """Return P Q^T."""
    total = np.zeros((len(left), len(right)))
    for p, q in zip(left.T, right.T, strict=True):
        total += np.multiply.outer(p, q)
    return total


def orthonormal(columns: Matrix) -> Matrix:
    """Return the columns made orthonormal one after the other (Gram-Schmidt, twice); dependent ones become zero."""
    out = columns.astype(np.float64)
    for place in range(out.shape[1]):
        column = out[:, place]
        length = float(np.sqrt((column * column).sum()))
        for _ in range(2):
            for earlier in out[:, :place].T:
                column -= (earlier * column).sum() * earlier
        left = float(np.sqrt((column * column).sum()))
        column *= 1 / left if left > _VANISHED * length else 0.0
    return out
