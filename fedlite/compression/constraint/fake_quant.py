"""Quantisation-aware training: weights that behave as integers while they are trained as floats.

In every forward pass each weight tensor is rounded to 8 or 4 bit integers times one scale; the gradient passes through
the rounding unchanged (straight-through). The work is that of a float32 step plus the rounding, so training takes
longer and never less: device models have to charge more time for it, and no memory is saved either. What is gained
comes later: the weights can be delivered as integers without losing what was trained.

References
----------
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
section 3 (simulated quantisation). Bengio, Leonard, Courville 2013, "Estimating or Propagating Gradients Through
Stochastic Neurons for Conditional Computation" (straight-through estimator).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import Effects, PartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

BITS: Final = (8, 4)
FAKE_QUANT_SPEED: Final = (0.53, 0.45)
"""Speed of an int8 quantisation-aware step relative to a plain one, ResNet18 and MobileNetV2 at batch 16 and 64 x 64 on
one x86 core (torch 2.13, FX, medians of 12 interleaved steps); only the ratio carries over."""

_MATRIX = 2
_INT8 = 8


@dataclass(frozen=True)
class FakeQuant(Constraint):
    """Every forward pass sees the weights rounded to integers times one scale per tensor.

    Attributes
    ----------
    bits : int
        8 or 4.
    """

    name: ClassVar[str] = "fake-quant"
    cites: ClassVar[tuple[str, ...]] = ("jacob2018quantization",)

    bits: int

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise PartError(f"bits: got {self.bits}, expected 8 or 4; leave it out to train in float32")

    @property
    def effects(self) -> Effects:
        """Half the speed, the rounded copy and the mask of its gradient; stored as integers.

        Activations are not rounded, so that inference is that of float32; `static-quantization` delivers integers.
        """
        return Effects(
            step_time=1 / math.sqrt(math.prod(FAKE_QUANT_SPEED)),
            weight_copies=2.0,
            # Weights rounded to nearest with one scale a tensor and biases as they are: what was seen in training.
            stored=(f"rtn{self.bits}:weights",),
        )

    @property
    def label(self) -> str:
        """Such as "8 bits"."""
        return f"{self.bits} bits"

    @property
    def remark(self) -> str:
        """What it costs, and where it gains."""
        gain = (
            "inference as fp32, whose weights are unpacked, unless static int8 is delivered"
            if self.bits == _INT8
            else "no 4-bit kernels: inference as fp32"
        )
        return f"training steps are slower, not faster; {gain}"

    def seen(self, parameters: list[torch.Tensor], state: Any, *, stacked: bool) -> list[torch.Tensor]:
        """Return the rounded weights."""
        return fake_quantize_all(parameters, self.bits, stacked=stacked)


def fake_quantize(weight: torch.Tensor, bits: int, *, stacked: bool = False) -> torch.Tensor:
    """Return the weights rounded to the integer grid, differentiable as if they were not.

    Symmetric, one scale per tensor: `scale = max|w| / L`, so that nothing is clipped and the gradient is 1 everywhere.

    Parameters
    ----------
    weight : Tensor
        Weights of one layer, or of K clients with a leading dimension K.
    bits : int
        2 to 8.
    stacked : bool
        Whether the first dimension counts clients, each of which has a scale of its own.
    """
    integers, scale = grid_of(weight, bits, stacked=stacked)
    # Straight through: the bracket is exactly zero, and its gradient is one.
    return integers * scale + (weight - weight.detach())


def grid_of(
    tensor: torch.Tensor, bits: int, *, stacked: bool = False, powers: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the integers of a tensor, as floats, and their scale, with as many dimensions and to be multiplied.

    Parameters
    ----------
    tensor, bits, stacked
        As in `fake_quantize`.
    powers : bool
        Whether the scale is rounded up to a power of two: products of such integers are exact in float32.
    """
    import torch

    levels = int(2 ** (bits - 1) - 1)
    fixed = tensor.detach()
    axes = tuple(range(1 if stacked else 0, tensor.ndim))
    scale = (fixed.abs().amax(dim=axes, keepdim=True) if axes else fixed.abs()) / levels
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    if powers:
        part, exponent = torch.frexp(scale)
        scale = torch.ldexp(torch.ones_like(scale), exponent - (part == 0.5).to(exponent.dtype))  # noqa: PLR2004 (a power already)
    return torch.round(fixed / scale).clamp(-levels, levels), scale


def fake_quantize_all(weights: Sequence[torch.Tensor], bits: int, *, stacked: bool = False) -> list[torch.Tensor]:
    """Return the list with matrices and convolution kernels fake-quantised; biases and norms pass as they are."""
    least = _MATRIX + stacked
    return [
        fake_quantize(weight, bits, stacked=stacked) if weight.ndim >= least and weight.is_floating_point() else weight
        for weight in weights
    ]
