"""A layer whose weights are entries of a codebook."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import torch
from torch import Tensor, nn

from fedlite.compression.kmeans import Clusters, kmeans
from fedlite.delivery.integers import bias_of, runner_of
from fedlite.wire.bits import pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTE: Final = 8


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
        self.run = runner_of(layer)
        weight = layer.weight
        assert isinstance(weight, Tensor)  # noqa: S101 (dense layers have one)
        self.shape = tuple(weight.shape)
        flat: NDArray[np.float32] = weight.detach().reshape(-1).numpy()
        centres, indices, self.iterations = _clustered(flat, min(clusters, flat.size), start, settled)
        self.register_buffer("codebook", torch.from_numpy(centres.astype(np.float32)))
        self.hold(indices.astype(np.uint8), max(1, (len(centres) - 1).bit_length()))
        self.bias = bias_of(layer)

    def aligned(self) -> Self:
        """Return the layer with a byte for each index: longer, but mostly shorter once bytes are coded."""
        made = deepcopy(self)
        made.hold(self._indices(), _BYTE)
        return made

    def hold(self, indices: NDArray[np.uint8], bits: int) -> None:
        """Pack indices into so many bits each."""
        self.bits = bits
        self.register_buffer("indices", torch.frombuffer(bytearray(pack(indices, bits)), dtype=torch.uint8))

    def weights(self) -> Tensor:
        """Return the entries that its indices name, float32 in the shape of the layer's weights."""
        return self.get_buffer("codebook")[torch.from_numpy(self._indices().astype("int64"))].reshape(self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        return self.run(x, self.weights(), self.bias)

    def _indices(self) -> NDArray[np.uint8]:
        count = int(torch.Size(self.shape).numel())
        return unpack(memoryview(self.get_buffer("indices").numpy().tobytes()), count, self.bits)


def _clustered(
    values: NDArray[np.float32], clusters: int, start: NDArray[np.float32] | None, settled: float
) -> Clusters:
    """Return the clusters; where a layer was pruned, zeros stay zeros and the others share what is left."""
    zero = values == 0
    if not zero.mean() > 1.0 / clusters:
        return kmeans(values, clusters, start, settled)
    indices = np.zeros(values.size, np.int64)
    if zero.all():
        return Clusters(np.zeros(1), indices, 0)
    # The first entry of such a codebook is the zero.
    rest = None if start is None or start[0] else start[1:]
    found = kmeans(values[~zero], min(clusters - 1, int((~zero).sum())), rest, settled)
    indices[~zero] = found.indices + 1
    return Clusters(np.concatenate([np.zeros(1), found.centres]), indices, found.iterations)
