"""A layer whose weights are entries of a codebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

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
    start : array of float32, optional
        The codebook to begin with, such as that of an earlier version; of another length it is not used.
    settled : float
        As `kmeans` takes it.
    """

    def __init__(
        self, layer: nn.Module, clusters: int, start: NDArray[np.float32] | None = None, settled: float = 0.0
    ) -> None:
        super().__init__()
        self._run = runner_of(layer)
        weight = layer.weight
        assert isinstance(weight, Tensor)  # noqa: S101 (dense layers have one)
        self.shape = tuple(weight.shape)
        flat: NDArray[np.float32] = weight.detach().reshape(-1).numpy()
        centres, indices, self.iterations = _clustered(flat, min(clusters, flat.size), start, settled)
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


class Clusters(NamedTuple):
    """Centroids (K,), the index of the nearest for each of n values, and how many of Lloyd's iterations it took."""

    centres: NDArray[np.float32]
    indices: NDArray[np.uint8]
    iterations: int


def _clustered(
    values: NDArray[np.float32], clusters: int, start: NDArray[np.float32] | None, settled: float
) -> Clusters:
    """Return the clusters; where a layer was pruned, zeros stay zeros and the others share what is left."""
    zero = values == 0
    if not zero.mean() > 1.0 / clusters:
        return kmeans(values, clusters, start, settled)
    indices = np.zeros(values.size, np.uint8)
    if zero.all():
        return Clusters(np.zeros(1, np.float32), indices, 0)
    # The first entry of such a codebook is the zero.
    rest = None if start is None or start[0] else start[1:]
    found = kmeans(values[~zero], min(clusters - 1, int((~zero).sum())), rest, settled)
    indices[~zero] = found.indices + 1
    return Clusters(np.concatenate([np.zeros(1, np.float32), found.centres]), indices, found.iterations)


def kmeans(
    values: NDArray[np.float32], clusters: int, start: NDArray[np.float32] | None = None, settled: float = 0.0
) -> Clusters:
    """Return clusters by Lloyd's iterations on sorted values.

    Parameters
    ----------
    values : array, shape (n,)
    clusters : int
        K.
    start : array, optional
        K centroids to begin with. Without it they are linear between the smallest and the largest value, which keeps
        the few large weights that count.
    settled : float
        The iterations end when one of them lessens the squared error by no more than this share.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centres = np.linspace(ordered[0], ordered[-1], clusters)
    whole, error = float(np.square(ordered).sum()), np.inf
    if start is not None and len(start) == clusters:
        centres = np.sort(start.astype(np.float64))
    edges, iterations = np.zeros(0, np.int64), 0
    while iterations < _ITERATIONS:
        iterations += 1
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        first, last = np.concatenate([[0], edges]), np.concatenate([edges, [len(ordered)]])
        counts = last - first
        means = np.where(counts > 0, (sums[last] - sums[first]) / np.maximum(counts, 1), centres)
        before, error = error, whole - float((counts * np.square(means)).sum())
        hardly = settled > 0 and before - error <= settled * before < np.inf
        if hardly or np.array_equal(means, centres):
            break
        centres = means
    indices = np.empty(len(values), np.uint8)
    indices[order] = np.repeat(np.arange(clusters), np.diff(np.concatenate([[0], edges, [len(ordered)]]))).astype(
        np.uint8
    )
    return Clusters(centres.astype(np.float32), indices, iterations)
