"""Integers of 8, 4, 2 or 1 bits as they lie in a state dict: packed into bytes, with one scale per output row.

References
----------
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
sections 2.1 to 2.3 (affine quantisation, integer accumulation).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from fedlite.wire.bits import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

_BYTE: Final = 8
_EXACT: Final = 2**24
"""Whole numbers up to here are exact in float32."""
UNSIGNED: Final = 255
"""Levels of an activation beside zero."""


def levels_of(bits: int) -> int:
    """Return the largest weight of so many bits: symmetric, so that zero is one of them."""
    return int(2 ** (bits - 1) - 1)


def quantized(weight: Tensor, bits: int, *, per_tensor: bool = False) -> tuple[Tensor, Tensor]:
    """Return the integers nearest to a weight, int8 of its shape, and the scale of each output row, (rows,).

    Per tensor, all have one, (1,), as in training against rounding.
    """
    flat = weight.detach().reshape(1 if per_tensor else weight.shape[0], -1)
    scale = flat.abs().amax(dim=1) / levels_of(bits)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    whole = torch.round(flat / scale[:, None]).clamp(-levels_of(bits), levels_of(bits))
    return whole.reshape(weight.shape).to(torch.int8), scale


class Packed(nn.Module):
    """Whole numbers from `-levels` to `levels` in as many bits as they need.

    Parameters
    ----------
    whole : Tensor of int8
    bits : int
        8, 4 or 2.
    """

    def __init__(self, whole: Tensor, bits: int) -> None:
        super().__init__()
        self.bits, self.shape = bits, tuple(whole.shape)
        fields = (whole.to(torch.int16) + levels_of(bits)).to(torch.uint8).reshape(-1).numpy()
        stored = (
            whole.reshape(-1) if bits == _BYTE else torch.frombuffer(bytearray(pack(fields, bits)), dtype=torch.uint8)
        )
        self.register_buffer("packed", stored.clone())

    def whole(self) -> Tensor:
        """Return the whole numbers as float32, in their shape."""
        packed = self.get_buffer("packed")
        if self.bits == _BYTE:
            return packed.reshape(self.shape).float()
        count = int(torch.Size(self.shape).numel())
        fields = unpack(memoryview(packed.numpy().tobytes()), count, self.bits)
        return torch.from_numpy(fields.astype("float32")).reshape(self.shape) - levels_of(self.bits)


class IntegerWeights(nn.Module):
    """A layer whose weights are packed integers and whose inputs stay float32: its weights are scaled before use.

    Parameters
    ----------
    layer : nn.Module
        With `weight` of two or more dimensions and `bias`, such as Linear or Conv2d.
    bits : int
    per_tensor : bool
        As `quantized` takes it.
    """

    def __init__(self, layer: nn.Module, bits: int, *, per_tensor: bool = False) -> None:
        super().__init__()
        self.run = runner_of(layer)
        whole, scale = quantized(layer.weight, bits, per_tensor=per_tensor)  # type: ignore[arg-type]
        self.weight = Packed(whole, bits)
        self.register_buffer("scale", scale)
        self.bias = bias_of(layer)

    def weights(self) -> Tensor:
        """Return what inputs are multiplied by, float32 in the shape of the layer's weights."""
        whole = self.weight.whole()
        return whole * _rows(self.get_buffer("scale"), whole)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        return self.run(x, self.weights(), self.bias)


class IntegerLayer(nn.Module):
    """A layer that multiplies integers by integers: weights of so many bits, inputs of 8 with a zero point.

    The sums of products are exact, as in an integer unit: in float32 while they stay below 2^24, else in float64.

    Parameters
    ----------
    layer : nn.Module
        Linear, Conv1d or Conv2d.
    bits : int
        Of the weights.
    low, high : float, optional
        Range of the inputs; without it each sample has its own (dynamic quantisation).
    per_tensor : bool
        As `quantized` takes it.
    """

    def __init__(
        self,
        layer: nn.Module,
        bits: int,
        low: float | None = None,
        high: float | None = None,
        *,
        per_tensor: bool = False,
    ) -> None:
        super().__init__()
        self.run = runner_of(layer)
        whole, scale = quantized(layer.weight, bits, per_tensor=per_tensor)  # type: ignore[arg-type]
        self._wide = UNSIGNED * levels_of(bits) * whole[0].numel() >= _EXACT
        self.weight = Packed(whole, bits)
        self.register_buffer("scale", scale)
        self.bias = bias_of(layer)
        self.dynamic = low is None or high is None
        if low is not None and high is not None:
            step, zero = affine(torch.tensor(low), torch.tensor(high))
            self.register_buffer("x_scale", step)
            self.register_buffer("x_zero", zero)

    def weights(self) -> Tensor:
        """Return what its integers stand for, float32 in the shape of the layer's weights."""
        whole = self.weight.whole()
        return whole * _rows(self.get_buffer("scale"), whole)

    @property
    def range(self) -> tuple[float, float]:
        """The range of the inputs that its levels cover; only of a static layer."""
        step, zero = float(self.get_buffer("x_scale")), float(self.get_buffer("x_zero"))
        return -zero * step, (UNSIGNED - zero) * step

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs as float32."""
        if self.dynamic:
            # Of each sample by itself: a device sees no others.
            axes, shape = tuple(range(1, x.dim())), (-1, *(1,) * (x.dim() - 1))
            step, zero = (one.reshape(shape) for one in affine(x.amin(dim=axes), x.amax(dim=axes)))
        else:
            step, zero = self.get_buffer("x_scale"), self.get_buffer("x_zero")
        kind = torch.float64 if self._wide else torch.float32
        centred = (torch.clamp(torch.round(x / step) + zero, 0, UNSIGNED) - zero).to(kind)
        sums = self.run(centred, self.weight.whole().to(kind), None)
        scale = _channels(self.get_buffer("scale"), sums, last=isinstance(self.run, _Linear))
        out = (sums * (step * scale).to(kind)).to(x.dtype)
        if self.bias is None:
            return out
        return out + _channels(self.bias, out, last=isinstance(self.run, _Linear))


def affine(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return step and zero point of 256 levels from `low` to `high`, widened to hold zero, which is then exact."""
    low, high = low.clamp(max=0.0).float(), high.clamp(min=0.0).float()
    step = (high - low) / UNSIGNED
    step = torch.where(step > 0, step, torch.ones_like(step))
    return step, torch.round(-low / step).clamp(0, UNSIGNED)


class _Linear:
    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return nn.functional.linear(x, weight, bias)


class _Convolution:
    """The convolution of a layer with other weights; a padding of zeros is the zero point's exact zero."""

    def __init__(self, layer: nn.Conv1d | nn.Conv2d) -> None:
        self._convolve: Any = partial(
            nn.functional.conv2d if isinstance(layer, nn.Conv2d) else nn.functional.conv1d,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
        )

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        out: Tensor = self._convolve(x, weight, bias)
        return out


def runner_of(layer: nn.Module) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Return the arithmetic of a layer as a function of inputs, weights and bias."""
    return _Linear() if isinstance(layer, nn.Linear) else _Convolution(layer)  # type: ignore[arg-type]


def bias_of(layer: nn.Module) -> nn.Parameter | None:
    """Return a copy of a layer's bias, which stays float32; None if it has none."""
    bias = getattr(layer, "bias", None)
    return None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)


def _rows(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.reshape(-1, *(1,) * (weight.dim() - 1))


def _channels(values: Tensor, out: Tensor, *, last: bool) -> Tensor:
    return values if last else values.reshape(-1, *(1,) * (out.dim() - 2))
