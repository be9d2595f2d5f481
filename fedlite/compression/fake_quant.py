"""Quantisation-aware training: weights that behave as integers while they are trained as floats.

In every forward pass each weight tensor is rounded to 8 or 4 bit integers times one scale; the gradient passes through
the rounding unchanged (straight-through). The work is that of a float32 step plus the rounding, so training takes
longer and never less: device models have to charge more time for it, and no memory is saved either. What is gained
comes later: the weights can be delivered as integers without losing what was trained, as `quantize` gives exactly the
simulated numbers.

References
----------
Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
section 3 (simulated quantisation). Bengio, Leonard, Courville 2013, "Estimating or Propagating Gradients Through
Stochastic Neurons for Conditional Computation" (straight-through estimator).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

Array = NDArray[Any]

_MATRIX = 2
_FEWEST, _MOST = 2, 8


class QuantizeError(FedliteError):
    """Weights cannot be put on an integer grid."""


@dataclass(frozen=True)
class Quantized:
    """One tensor on the integer grid: `values = integers * scale`, integers from -L to L with L = 2**(bits-1) - 1."""

    integers: NDArray[np.int8]
    scale: np.float32
    bits: int

    def values(self) -> NDArray[np.float32]:
        """Return the numbers that the integers stand for, bit for bit those of `fake_quantize`."""
        return np.asarray(self.integers.astype(np.float32) * self.scale)


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
    import torch

    levels = _levels(bits)
    fixed = weight.detach()
    axes = tuple(range(1 if stacked else 0, weight.ndim))
    scale = (fixed.abs().amax(dim=axes, keepdim=True) if axes else fixed.abs()) / levels
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    grid = torch.round(fixed / scale).clamp(-levels, levels) * scale
    # Straight through: the bracket is exactly zero, and its gradient is one.
    return grid + (weight - fixed)


def fake_quantize_all(weights: Sequence[torch.Tensor], bits: int, *, stacked: bool = False) -> list[torch.Tensor]:
    """Return the list with matrices and convolution kernels fake-quantised; biases and norms pass as they are."""
    least = _MATRIX + stacked
    return [
        fake_quantize(weight, bits, stacked=stacked) if weight.ndim >= least and weight.is_floating_point() else weight
        for weight in weights
    ]


def quantize(weight: Array, bits: int) -> Quantized:
    """Return the integers and the scale of one float32 tensor.

    Raises
    ------
    QuantizeError
        If a weight is not finite or the number of bits is out of range.
    """
    levels = _levels(bits)
    weight = np.asarray(weight, np.float32)
    largest = np.abs(weight).max(initial=np.float32(0))
    if not np.isfinite(largest):
        raise QuantizeError(
            "quantise: got weights that are NaN or infinite, expected finite ones; training has diverged"
        )
    scale = np.float32(largest / np.float32(levels))
    if scale == 0:
        scale = np.float32(1)
    integers = np.clip(np.rint(weight / scale), -levels, levels).astype(np.int8)
    return Quantized(integers, scale, bits)


def quantize_arrays(arrays: Sequence[Array], bits: int) -> list[Quantized | Array]:
    """Return matrices and convolution kernels on the integer grid; everything else as it is."""
    return [
        quantize(array, bits) if array.ndim >= _MATRIX and np.issubdtype(array.dtype, np.floating) else array
        for array in arrays
    ]


def dequantize_arrays(arrays: Sequence[Quantized | Array]) -> list[Array]:
    """Return the float32 tensors that the integers stand for: the model that a device would run."""
    return [array.values() if isinstance(array, Quantized) else array for array in arrays]


def _levels(bits: int) -> int:
    if not _FEWEST <= bits <= _MOST:
        raise QuantizeError(f"quantise: got {bits} bits, expected {_FEWEST} to {_MOST}; plans use 8 or 4")
    return int(2 ** (bits - 1) - 1)
