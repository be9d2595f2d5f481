"""A shipped net in operators that every converter knows: integer layers as quantise and dequantise, others as float32.

Integers and scales are those of the artefact. Its inputs have 256 levels counted from 0; here they are counted from
-128, which is the same levels under the names that int8 kernels use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from fedlite.delivery.base import replaced
from fedlite.delivery.codebook import SharedWeights
from fedlite.delivery.integers import UNSIGNED, IntegerLayer, IntegerWeights, levels_of
from fedlite.delivery.layers import DENSE, RECURRENT
from fedlite.delivery.recurrent import IntegerRecurrent
from fedlite.delivery.signs import BinaryWeights

if TYPE_CHECKING:
    from collections import Counter

LOW: Final = -128
"""The first of 256 levels."""
HIGH: Final = LOW + UNSIGNED
INT8: Final = torch.int8
Levels = tuple[float, int, int, int, torch.dtype]
"""Step, zero point, first and last level, and their type: the last arguments of the operators for tensors."""


def operators() -> Any:
    """Return torch's operators that quantise and dequantise; importing their module is what registers them."""
    import torch.ao.quantization.fx._decomposed

    return torch.ops.quantized_decomposed


def levels(step: float, zero: float) -> Levels:
    """Return the levels of a step and a zero point that counts from 0."""
    return step, int(zero) + LOW, LOW, HIGH, INT8


class _Stored(nn.Module):
    """A layer that multiplies with what integers and one scale per output row stand for."""

    def __init__(self, layer: IntegerLayer | IntegerWeights) -> None:
        super().__init__()
        self._operators = operators()
        self.run, self.bias = layer.run, layer.bias
        whole = layer.weight.whole().to(INT8)
        self.register_buffer("weight", whole)
        # Converters are given one scale a row, also where all are the same.
        self.register_buffer("scale", layer.get_buffer("scale").expand(len(whole)).clone())
        self.register_buffer("zero", torch.zeros(len(whole), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        whole, scale, zero = (self.get_buffer(name) for name in ("weight", "scale", "zero"))
        # All 8 bits, whatever the integers need: converters know no narrower range.
        weight = self._operators.dequantize_per_channel(whole, scale, zero, 0, -levels_of(8), levels_of(8), INT8)
        return self.run(x, weight, self.bias)


class _Quantised(_Stored):
    """The same with inputs of 256 fixed levels."""

    def __init__(self, layer: IntegerLayer) -> None:
        super().__init__(layer)
        self._levels = levels(float(layer.get_buffer("x_scale")), float(layer.get_buffer("x_zero")))

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        whole = self._operators.quantize_per_tensor(x, *self._levels)
        return super().forward(self._operators.dequantize_per_tensor(whole, *self._levels))


class _Plain(nn.Module):
    """A layer with the float32 weights that the stored ones stand for."""

    def __init__(self, layer: IntegerLayer | IntegerWeights | SharedWeights | BinaryWeights) -> None:
        super().__init__()
        self.run, self.bias = layer.run, layer.bias
        self.register_buffer("weight", layer.weights().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        return self.run(x, self.get_buffer("weight"), self.bias)


def standard(net: nn.Module, counted: Counter[str], *, integer_weights: bool) -> nn.Module:
    """Return a net that computes the same and that a converter can read.

    Parameters
    ----------
    net : nn.Module
        The executed net of an artefact, with its values.
    counted : Counter
        Is told how many layers are written as "int8", with "integer weights" and as "fp32".
    integer_weights : bool
        Whether integer weights beside float32 inputs are written; else those layers are float32. Layers that look for
        the range of their inputs at run time are written as such, without rounding their inputs.
    """
    made: dict[str, nn.Module] = {}
    for name, layer in net.named_modules():
        kind = "fp32"
        if isinstance(layer, IntegerLayer) and not layer.dynamic:
            made[name], kind = _Quantised(layer), "int8"
        elif isinstance(layer, (IntegerLayer, IntegerWeights)) and integer_weights:
            made[name], kind = _Stored(layer), "integer weights"
        elif isinstance(layer, (IntegerLayer, IntegerWeights, SharedWeights, BinaryWeights)):
            made[name] = _Plain(layer)
        elif isinstance(layer, IntegerRecurrent):
            made[name] = layer.layer()
        elif not isinstance(layer, (*DENSE, *RECURRENT)):
            continue
        counted[kind] += 1
    return replaced(net, made).eval()
