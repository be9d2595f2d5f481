"""A recurrent layer whose weights are 8-bit integers; inputs and states stay float32."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fedlite.delivery.integers import Packed, quantized

if TYPE_CHECKING:
    from torch import Tensor

_BITS = 8
_MATRIX = 2


class IntegerRecurrent(nn.Module):
    """An LSTM, GRU or RNN that reads its matrices from integers and one scale per row.

    Parameters
    ----------
    layer : nn.RNNBase or OneBiasLstm
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        # Not a submodule: what is stored are the integers, and these tensors are written from them.
        self._layer = (copy.deepcopy(layer),)
        for name, weight in layer.named_parameters():
            if weight.dim() == _MATRIX:
                whole, scale = quantized(weight, _BITS)
                setattr(self, name, Packed(whole, _BITS))
                self.register_buffer(f"{name}_scale", scale)
            else:
                self.register_buffer(name, weight.detach().clone())

    def layer(self) -> nn.Module:
        """Return the layer with the float32 matrices that its integers stand for."""
        (layer,) = self._layer
        with torch.no_grad():
            for name, weight in layer.named_parameters():
                weight.copy_(self._weight(name))
        return layer

    def forward(self, x: Tensor, state: Any = None) -> Any:
        """Return what the layer returns."""
        layer = self.layer()
        return layer(x) if state is None else layer(x, state)

    def _weight(self, name: str) -> Tensor:
        if f"{name}_scale" not in self._buffers:
            return self.get_buffer(name)
        packed = self.get_submodule(name)
        assert isinstance(packed, Packed)  # noqa: S101 (set above)
        return packed.whole() * self.get_buffer(f"{name}_scale")[:, None]
