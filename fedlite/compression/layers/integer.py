"""Layers that are trained with 8-bit integers: operands, errors and gradients, and what is kept for the backward pass.

A product (linear, convolution) multiplies int8 inputs with int8 weights forward, and int8 errors with both backward;
sums are taken in float32, which is exact to 2^24, where hardware would have int32, and biases added in float32. Weights
and inputs are rounded to the nearest integer; errors and gradients of weights are rounded up or down at random so that
they are right in the mean, for small ones would vanish otherwise. What autograd keeps of an input are its int8 integers
and one scale. In training a tensor has one scale, that of its batch, for gradients sum over samples; in evaluation each
sample has its own, for a device sees no others.

Other layers (ReLU, max pooling, group normalisation) see their input as int8, too, keep it so, and compute their
gradient anew from it: that is what makes a net need less memory, as a float32 copy kept by a ReLU would undo what a
product saves. Batch normalisation, whose statistics are to be taken once, stays as it is, as does all else.

References
----------
Wu, Li, Chen, Shi 2018, "Training and Inference with Integers in Deep Neural Networks" (WAGE: weights, activations,
gradients and errors; stochastic rounding of gradients). Wang, Rasoulinezhad, Leong, So 2022, "NITI: Training Integer
Neural Networks Using Integer-only Arithmetic" (one scale for each tensor). Chen, Xu, Zhang, Tang, Catanzaro 2016,
"Training Deep Nets with Sublinear Memory Cost" (computed anew instead of kept).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from fedlite.compression.constraint.fake_quant import grid_of

if TYPE_CHECKING:
    from collections.abc import Mapping

BITS: Final = 8
LEVELS: Final = 2 ** (BITS - 1) - 1


def nearest(values: Tensor, *, by_sample: bool = False) -> tuple[Tensor, Tensor]:
    """Return int8 integers and their scale, to the nearest; by sample, one scale each, of as many dimensions."""
    integers, scale = grid_of(values, BITS, stacked=by_sample)
    return integers.to(torch.int8), scale if by_sample else scale.reshape(())


def at_random(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 integers and their scale, up or down at random: right in the mean.

    Draws from torch's own generator, which the trainer seeds for each job, as dropout does.
    """
    _, scale = grid_of(values, BITS)
    shifted = torch.floor(values / scale + torch.rand_like(values))
    return shifted.clamp(-LEVELS, LEVELS).to(torch.int8), scale.reshape(())


class _Product(Function):
    """The product of an input with weights, both as int8; `layer` says which product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, layer: Multiplies) -> Tensor:
        q_x, s_x = nearest(x, by_sample=not layer.training)
        q_w, s_w = nearest(weight)
        # Not the integers of the weights: the weights are there anyway, and give them again.
        ctx.save_for_backward(q_x, s_x, weight)
        ctx.layer = layer
        return layer.product(q_x.float(), q_w.float()) * (s_x * s_w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        q_x, s_x, weight = ctx.saved_tensors
        (q_e, s_e), (q_w, s_w) = at_random(error), nearest(weight)
        # Samples are summed over: scales of their own come before the sum, a common one after it.
        inputs, scale = (q_x.float() * s_x, s_e) if s_x.ndim else (q_x.float(), s_e * s_x)
        of_x, of_w = ctx.layer.gradients(q_e.float(), inputs, q_w.float(), tuple(ctx.needs_input_grad[:2]))
        if of_w is not None:
            q_g, s_g = at_random(of_w * scale)
            of_w = q_g.float() * s_g
        return None if of_x is None else of_x * (s_e * s_w), of_w, None


Wants = tuple[bool, bool]
"""Whether the gradient of the input is asked for, and that of the weights."""


class Multiplies(Protocol):
    """A layer whose output is a product plus a bias."""

    training: bool

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the product without bias."""

    def gradients(self, error: Tensor, x: Tensor, weight: Tensor, wants: Wants) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of a product whose own is `error`."""


def multiplied(x: Tensor, weight: Tensor, bias: Tensor | None, layer: Multiplies) -> Tensor:
    """Return a layer's output: its product in integers, and its bias, with one value for each channel, in float32."""
    out: Tensor = _Product.apply(x, weight, layer)  # type: ignore[no-untyped-call]
    if bias is None:
        return out
    return out + (bias if isinstance(layer, nn.Linear) else bias.reshape(-1, *[1] * (weight.ndim - 2)))


class IntegerLinear(nn.Linear):
    """`nn.Linear` in integers."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out)."""
        return multiplied(x, self.weight, self.bias, self)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return (..., out)."""
        return F.linear(x, weight)

    def gradients(self, error: Tensor, x: Tensor, weight: Tensor, wants: Wants) -> tuple[Tensor | None, Tensor | None]:
        """Return the two products with the error."""
        of_weight = error.reshape(-1, self.out_features).T @ x.reshape(-1, self.in_features)
        return error @ weight if wants[0] else None, of_weight if wants[1] else None


class _Convolves:
    """What convolutions of one and of two dimensions have in common."""

    training: bool
    weight: Tensor
    bias: Tensor | None
    stride: Any
    padding: Any
    dilation: Any
    groups: int

    def forward(self, x: Tensor) -> Tensor:
        """Return what the convolution gives."""
        return multiplied(x, self.weight, self.bias, self)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the convolution without bias."""
        return torch.ops.aten.convolution(x, weight, None, *self._settings)  # type: ignore[no-any-return]

    def gradients(self, error: Tensor, x: Tensor, weight: Tensor, wants: Wants) -> tuple[Tensor | None, Tensor | None]:
        """Return the two correlations with the error."""
        found = torch.ops.aten.convolution_backward(error, x, weight, None, *self._settings, [*wants, False])
        return found[0], found[1]

    @property
    def _settings(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, False, [0] * len(self.stride), self.groups


class IntegerConv1d(_Convolves, nn.Conv1d):
    """`nn.Conv1d` in integers."""


class IntegerConv2d(_Convolves, nn.Conv2d):
    """`nn.Conv2d` in integers."""


class _Kept(Function):
    """Another layer on an input that is int8 and is kept so; `layer` computes it, twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Computes, *weights: Tensor) -> Tensor:
        integers, scale = nearest(x, by_sample=not layer.training)
        ctx.save_for_backward(integers, scale, *weights)
        ctx.layer = layer
        return layer.compute(integers.float() * scale, *weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor | None, ...]:
        integers, scale, *weights = ctx.saved_tensors
        x = (integers.float() * scale).requires_grad_()
        leaves = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad():
            out = ctx.layer.compute(x, *leaves)
        of_x, *of_weights = torch.autograd.grad(out, [x, *leaves], error)
        return of_x, None, *of_weights


class Computes(Protocol):
    """A layer that gives the same output for the same input and weights each time."""

    training: bool

    def compute(self, x: Tensor, *weights: Tensor) -> Tensor:
        """Return the output."""


class _Keeps:
    """What the layers below have in common: they are computed from an int8 input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for the rounded input."""
        out: Tensor = _Kept.apply(x, self, *self.parameters())  # type: ignore[no-untyped-call,attr-defined]
        return out

    def compute(self, x: Tensor, *weights: Tensor) -> Tensor:
        """Return what torch's own layer gives."""
        del weights
        return super().forward(x)  # type: ignore[misc,no-any-return]


class IntegerReLU(_Keeps, nn.ReLU):
    """`nn.ReLU` that keeps int8."""

    def compute(self, x: Tensor, *weights: Tensor) -> Tensor:
        """Return max(x, 0), never in place: the input is still needed."""
        del weights
        return F.relu(x)


class IntegerReLU6(_Keeps, nn.ReLU6):
    """`nn.ReLU6` that keeps int8."""

    def compute(self, x: Tensor, *weights: Tensor) -> Tensor:
        """Return x between 0 and 6, never in place."""
        del weights
        return F.relu6(x)


class IntegerMaxPool1d(_Keeps, nn.MaxPool1d):
    """`nn.MaxPool1d` that keeps int8."""


class IntegerMaxPool2d(_Keeps, nn.MaxPool2d):
    """`nn.MaxPool2d` that keeps int8."""


class IntegerGroupNorm(_Keeps, nn.GroupNorm):
    """`nn.GroupNorm` that keeps int8."""

    def compute(self, x: Tensor, *weights: Tensor) -> Tensor:
        """Return the normalised input."""
        weight, bias = weights or (None, None)
        return F.group_norm(x, self.num_groups, weight, bias, self.eps)


INTEGER: Final[Mapping[type[nn.Module], type[nn.Module]]] = {
    nn.Linear: IntegerLinear,
    nn.Conv1d: IntegerConv1d,
    nn.Conv2d: IntegerConv2d,
    nn.ReLU: IntegerReLU,
    nn.ReLU6: IntegerReLU6,
    nn.MaxPool1d: IntegerMaxPool1d,
    nn.MaxPool2d: IntegerMaxPool2d,
    nn.GroupNorm: IntegerGroupNorm,
}
"""torch's layer -> the one that stands in for it."""


def refusal(net: nn.Module) -> str:
    """Return which layer of a net cannot be trained in integers and why; "" if all can."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d) and (
            module.padding_mode != "zeros" or isinstance(module.padding, str)
        ):
            how = module.padding if isinstance(module.padding, str) else module.padding_mode
            return f"{name}, which pads by {how!r}, expected a number of zeros; write one in the model"
    return ""
