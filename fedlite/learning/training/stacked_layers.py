"""The layers that K clients can run together, each with its own parameters: one table from module class to function.

Every function takes the module (for its settings), the stacked parameters of that module by their local names, each
(K, *shape), and the input; and returns the output. Per client it computes what the module's own `forward` computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlite.learning.training.stacked_value import Value

Parameters = dict[str, Tensor]
StackedLayer = Callable[[Any, Parameters, Value], Value]


def linear(layer: nn.Linear, parameters: Parameters, value: Value) -> Value:
    """One batched matrix product for all clients."""
    x = value.stacked().tensor
    flat = x.reshape(value.clients, -1, layer.in_features)
    weight = parameters["weight"].transpose(1, 2)
    bias = parameters.get("bias")
    out = torch.bmm(flat, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), flat, weight)
    return Value(out.view(*x.shape[:-1], layer.out_features), value.clients)


def convolution(layer: nn.Conv1d | nn.Conv2d, parameters: Parameters, value: Value) -> Value:
    """One grouped convolution: client k owns the groups k * groups to (k + 1) * groups - 1."""
    image = value.image()
    weight = parameters["weight"].flatten(0, 1)
    bias = parameters.get("bias")
    out = F.conv2d(
        image.tensor,
        weight if image.spatial == 2 else weight.unsqueeze(2),  # noqa: PLR2004
        None if bias is None else bias.flatten(),
        _pair(layer.stride, 1, image),
        layer.padding if isinstance(layer.padding, str) else _pair(layer.padding, 0, image),
        _pair(layer.dilation, 1, image),
        layer.groups * value.clients,
    )
    return image.like(out)


def group_norm(layer: nn.GroupNorm, parameters: Parameters, value: Value) -> Value:
    """Groups never cross clients, so K clients have K times the groups."""
    if not value.spatial and value.tensor.dim() == 3:  # noqa: PLR2004 (units, which no image can hold)
        return _group_norm_of_units(layer, parameters, value)
    image = value.image()
    weight, bias = (parameters[name].flatten() if name in parameters else None for name in ("weight", "bias"))
    return image.like(F.group_norm(image.tensor, layer.num_groups * value.clients, weight, bias, layer.eps))


def _group_norm_of_units(layer: nn.GroupNorm, parameters: Parameters, value: Value) -> Value:
    out = F.group_norm(value.tensor.flatten(0, 1), layer.num_groups, eps=layer.eps).view_as(value.tensor)
    if "weight" in parameters:
        out = out * parameters["weight"].unsqueeze(1) + parameters["bias"].unsqueeze(1)
    return value.like(out)


def layer_norm(layer: nn.LayerNorm, parameters: Parameters, value: Value) -> Value:
    """Normalise each sample, then scale and shift by the client's own parameters."""
    x = value.stacked().tensor
    out = F.layer_norm(x, layer.normalized_shape, eps=layer.eps)
    middle = (1,) * (x.dim() - 1 - len(layer.normalized_shape))
    for name in ("weight", "bias"):
        if name in parameters:
            parameter = parameters[name]
            shaped = parameter.view(value.clients, *middle, *parameter.shape[1:])
            out = out * shaped if name == "weight" else out + shaped
    return Value(out, value.clients)


def max_pool(layer: nn.MaxPool1d | nn.MaxPool2d, _: Parameters, value: Value) -> Value:
    """Pool the one image that holds all clients."""
    image = value.image()
    kernel, stride = _pair(layer.kernel_size, 1, image), _pair(layer.stride, 1, image)
    padding, dilation = _pair(layer.padding, 0, image), _pair(layer.dilation, 1, image)
    return image.like(F.max_pool2d(image.tensor, kernel, stride, padding, dilation, layer.ceil_mode))


def average_pool(layer: nn.AvgPool1d | nn.AvgPool2d, _: Parameters, value: Value) -> Value:
    """Pool the one image that holds all clients."""
    image = value.image()
    kernel, stride, padding = (
        _pair(layer.kernel_size, 1, image),
        _pair(layer.stride, 1, image),
        _pair(layer.padding, 0, image),
    )
    out = F.avg_pool2d(image.tensor, kernel, stride, padding, layer.ceil_mode, layer.count_include_pad)
    return image.like(out)


def adaptive_average_pool(layer: nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d, _: Parameters, value: Value) -> Value:
    """Pool the one image that holds all clients; a mean where one pixel is left."""
    image = value.image()
    size = _pair(layer.output_size, 1, image)
    if size == (1, 1):
        return image.like(image.tensor.mean(dim=(2, 3), keepdim=True))
    return image.like(F.adaptive_avg_pool2d(image.tensor, size))


def flatten(layer: nn.Flatten, _: Parameters, value: Value) -> Value:
    """Flatten each sample (start_dim 1 and end_dim -1 only; the compiler checks)."""
    del layer
    return Value(value.stacked().tensor.flatten(2), value.clients)


def elementwise(layer: nn.Module, _: Parameters, value: Value) -> Value:
    """Apply a function of single numbers, in whatever layout they lie."""
    return value.like(layer(value.tensor))


ELEMENTWISE: tuple[type[nn.Module], ...] = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardswish,
    nn.Hardsigmoid,
)

LAYERS: dict[type[nn.Module], StackedLayer] = {
    nn.Linear: linear,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.GroupNorm: group_norm,
    nn.LayerNorm: layer_norm,
    nn.MaxPool1d: max_pool,
    nn.MaxPool2d: max_pool,
    nn.AvgPool1d: average_pool,
    nn.AvgPool2d: average_pool,
    nn.AdaptiveAvgPool1d: adaptive_average_pool,
    nn.AdaptiveAvgPool2d: adaptive_average_pool,
    nn.Flatten: flatten,
    **dict.fromkeys(ELEMENTWISE, elementwise),
}


def unsupported_setting(layer: nn.Module) -> str | None:
    """Return why this layer's settings keep it out of `LAYERS`, or None if they do not."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer.padding_mode != "zeros":
        return f"padding mode {layer.padding_mode!r}"
    if isinstance(layer, nn.MaxPool1d | nn.MaxPool2d) and layer.return_indices:
        return "indices of a max pooling"
    if isinstance(layer, nn.AvgPool2d) and layer.divisor_override is not None:
        return "a divisor override"
    if isinstance(layer, nn.AdaptiveAvgPool2d) and isinstance(layer.output_size, tuple) and None in layer.output_size:
        return "an output size of None"
    if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) != (1, -1):
        return "a partial flatten"
    return None


def _pair(setting: Any, hidden: int, image: Value) -> tuple[int, int]:
    """Return a setting for two axes; a signal's one number is that of the second axis, `hidden` that of the first."""
    numbers = (setting,) if isinstance(setting, int) else tuple(setting)
    if image.spatial == 1:
        return (hidden, numbers[0])
    return (numbers[0], numbers[-1])
