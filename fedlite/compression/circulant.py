"""Block-circulant matrices: a matrix (out, in) of blocks (b, b), each of which is given by its first column.

Entry (i, j) of a block is c[(i - j) mod b], so that a block times a vector is a circular convolution with c: a product
of their Fourier transforms. Sides that b does not divide are padded with zeros.

References
----------
Cheng et al. 2015, "An exploration of parameter redundancy in deep networks with circulant projections".
Ding et al. 2017, "CirCNN: accelerating and compressing deep neural networks using block-circulant weight matrices".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[Any]


class CirculantLinear(nn.Module):
    """A linear layer whose matrix is block-circulant.

    Parameters
    ----------
    inputs, outputs : int
    block : int
        Side of the blocks.
    bias : bool

    Attributes
    ----------
    columns : Parameter, shape (ceil(outputs / block), ceil(inputs / block), block)
        First column of each block. `bias` (outputs,) beside it, or None.
    """

    def __init__(self, inputs: int, outputs: int, block: int, *, bias: bool = True) -> None:
        super().__init__()
        self.inputs, self.outputs, self.block = inputs, outputs, block
        # As spread as torch draws the weights of a linear layer: every entry of the matrix is one of these.
        bound = 1.0 / math.sqrt(inputs)
        grid = blocks_of(outputs, inputs, block)
        self.columns = nn.Parameter(torch.empty(*grid, block).uniform_(-bound, bound))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.empty(outputs).uniform_(-bound, bound)) if bias else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., outputs) from (..., inputs)."""
        rows, across, block = self.columns.shape
        padded = nn.functional.pad(x, (0, across * block - self.inputs))
        signal = torch.fft.rfft(padded.view(*x.shape[:-1], across, block))
        spectrum = torch.fft.rfft(self.columns)
        mixed = torch.einsum("...af,raf->...rf", signal, spectrum)
        out = torch.fft.irfft(mixed, n=block).reshape(*x.shape[:-1], rows * block)[..., : self.outputs]
        biased: torch.Tensor = out if self.bias is None else out + self.bias
        return biased


def blocks_of(outputs: int, inputs: int, block: int) -> tuple[int, int]:
    """Return how many blocks a matrix has down and across."""
    return math.ceil(outputs / block), math.ceil(inputs / block)


def nearest_columns(matrix: Array, block: int) -> Array:
    """Return the columns (down, across, block) of the block-circulant matrix nearest to a matrix (out, in).

    Each number is the mean of its wrapped diagonal, over the entries that exist; 0 where padding leaves none.
    """
    down, across = blocks_of(matrix.shape[0], matrix.shape[1], block)
    sums, counts = np.zeros((down, across, block)), np.zeros((down, across, block))
    index = _index(matrix.shape, block)
    np.add.at(sums, index, matrix)
    np.add.at(counts, index, 1.0)
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0).astype(matrix.dtype)


def written_out(columns: Array, shape: tuple[int, ...]) -> Array:
    """Return the matrix (out, in) of this shape whose blocks have these first columns."""
    found: Array = columns[_index(shape, columns.shape[-1])]
    return found


def _index(shape: tuple[int, ...], block: int) -> tuple[Array, Array, Array]:
    """Return for each entry of a matrix its block, down and across, and its place in the block's first column."""
    row, column = np.ogrid[: shape[0], : shape[1]]
    return np.broadcast_arrays(row // block, column // block, (row - column) % block)  # type: ignore[return-value]
