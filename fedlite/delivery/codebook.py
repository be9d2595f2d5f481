"""A layer whose weights are entries of a codebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from fedlite.delivery.integers import bias_of, runner_of
from fedlite.wire.bits import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDTHS: Final = (1, 2, 4, 8)
_ITERATIONS: Final = 50


class SharedWeights(nn.Module):
    """A dense layer with a codebook of K float32 values and packed indices.

    Parameters
    ----------
    layer : nn.Module
        Linear, Conv1d or Conv2d.
    clusters : int
        K; fewer if the layer has fewer weights.
    """

    def __init__(self, layer: nn.Module, clusters: int) -> None:
        super().__init__()
        self._run = runner_of(layer)
        weight = layer.weight
        assert isinstance(weight, Tensor)  # noqa: S101 (dense layers have one)
        self.shape = tuple(weight.shape)
        flat: NDArray[np.float32] = weight.detach().reshape(-1).numpy()
        centres, indices = _clustered(flat, min(clusters, flat.size))
        self.bits = next(width for width in _WIDTHS if 2**width >= len(centres))
        self.register_buffer("codebook", torch.from_numpy(centres))
        self.register_buffer("indices", torch.frombuffer(bytearray(pack(indices, self.bits)), dtype=torch.uint8))
        self.bias = bias_of(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        count = int(torch.Size(self.shape).numel())
        indices = unpack(memoryview(self.get_buffer("indices").numpy().tobytes()), count, self.bits)
        weight = self.get_buffer("codebook")[torch.from_numpy(indices.astype("int64"))].reshape(self.shape)
        return self._run(x, weight, self.bias)


def _clustered(values: NDArray[np.float32], clusters: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return centroids and indices; where a layer was pruned, zeros stay zeros and the others share what is left."""
    zero = values == 0
    if not zero.mean() > 1.0 / clusters:
        return kmeans(values, clusters)
    indices = np.zeros(values.size, np.uint8)
    if zero.all():
        return np.zeros(1, np.float32), indices
    centres, others = kmeans(values[~zero], min(clusters - 1, int((~zero).sum())))
    indices[~zero] = others + 1
    return np.concatenate([np.zeros(1, np.float32), centres]), indices


def kmeans(values: NDArray[np.float32], clusters: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return K centroids and the index of the nearest for each of n values, by Lloyd's iterations on sorted values.

    The start is linear between the smallest and the largest value, which keeps the few large weights that count.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centres = np.linspace(ordered[0], ordered[-1], clusters)
    edges = np.zeros(0, np.int64)
    for _ in range(_ITERATIONS):
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        first, last = np.concatenate([[0], edges]), np.concatenate([edges, [len(ordered)]])
        counts = last - first
        means = np.where(counts > 0, (sums[last] - sums[first]) / np.maximum(counts, 1), centres)
        if np.array_equal(means, centres):
            break
        centres = means
    indices = np.empty(len(values), np.uint8)
    indices[order] = np.repeat(np.arange(clusters), np.diff(np.concatenate([[0], edges, [len(ordered)]]))).astype(
        np.uint8
    )
    return centres.astype(np.float32), indices
