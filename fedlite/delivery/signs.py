"""A layer whose weights are packed signs and a scale for each output row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from fedlite.compression.constraint.binary import packed, unpacked
from fedlite.delivery.integers import bias_of, runner_of

if TYPE_CHECKING:
    from torch import Tensor


class BinaryWeights(nn.Module):
    """A dense layer with one bit a weight.

    Parameters
    ----------
    layer : nn.Module
        Linear, Conv1d or Conv2d.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.run = runner_of(layer)
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)  # noqa: S101 (dense layers have one)
        self.shape = tuple(weight.shape)
        signs, scales = packed(weight.detach().numpy())
        self.register_buffer("signs", torch.from_numpy(signs))
        self.register_buffer("scales", torch.from_numpy(np.array(scales)))
        self.bias = bias_of(layer)

    def weights(self) -> Tensor:
        """Return its signs times their scales, float32 in the shape of the layer's weights."""
        signs, scales = self.get_buffer("signs").numpy(), self.get_buffer("scales").numpy()
        return torch.from_numpy(unpacked(signs, scales, self.shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        return self.run(x, self.weights(), self.bias)
