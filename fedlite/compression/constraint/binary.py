"""Binary weights: every forward pass sees signs times a scale, one for each output row; the gradient passes through.

The weights that are trained stay float32 and are kept between -1 and 1, where the gradient passes. A sign and a scale
are what is delivered: `packed` has them in the bytes that they take, one bit a weight and four bytes a row. No engine
here multiplies signs, so nothing gets faster, and nothing smaller before it is delivered.

References
----------
Courbariaux, Hubara, Soudry, El-Yaniv, Bengio 2016, "Binarized Neural Networks: Training Deep Neural Networks with
Weights and Activations Constrained to +1 or -1", section 1 (straight-through with clipping). Rastegari, Ordonez,
Redmon, Farhadi 2016, "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", section 3.1 (the
best scale of a row is its mean magnitude; first and last layer stay as they are).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from fedlite.compression.constraint.base import Array, Constraint, Received
from fedlite.compression.constraint.magnitude import prunable, with_passes
from fedlite.compression.part import Effects, PartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

PASSES: Final = 5.0
"""Over the weights in a step: magnitudes are read for their means; signs, clipped weights and their sum are written;
the clipped weights are written again after the step."""


@dataclass(frozen=True)
class Binary(Constraint):
    """Every forward pass sees plus or minus the mean magnitude of the row.

    Attributes
    ----------
    ends : bool
        Whether the first and the last layer are binary, too; they lose the most and have few weights.
    """

    name: ClassVar[str] = "binary"
    cites: ClassVar[tuple[str, ...]] = ("courbariaux2016binarized", "rastegari2016xnor")

    ends: bool = False

    @property
    def effects(self) -> Effects:
        """Passes over the weights, and signs and clipped weights in memory; who knows of one-bit files stores them."""
        return Effects(step_time=with_passes(PASSES), weight_copies=2.0)

    @property
    def label(self) -> str:
        """Such as "binary"."""
        return "binary" if self.ends else "binary but the ends"

    @property
    def remark(self) -> str:
        """What it does not save."""
        return (
            "steps are slower, not faster, and no engine here multiplies signs: inference as fp32; a bit a weight"
            " and a scale a row are saved where they are stored"
        )

    def init(self, received: Received) -> list[bool]:
        """Return which parameters are binary.

        Raises
        ------
        PartError
            If there is none.
        """
        chosen = binary_positions(received.parameters, ends=self.ends)
        if not chosen:
            last = [n for n, a in zip(received.names, received.parameters, strict=True) if prunable(a)]
            raise PartError(
                f"binary: got a net whose only weights are {', '.join(last) or 'none'}, expected a layer between the"
                " first and the last; write 'ends: true'"
            )
        return [position in chosen for position in range(len(received.parameters))]

    def seen(self, parameters: list[torch.Tensor], state: list[bool], *, stacked: bool) -> list[torch.Tensor]:
        """Return signs times scales."""
        pairs = zip(parameters, state, strict=True)
        return [binarised(weight, stacked=stacked) if binary else weight for weight, binary in pairs]

    def after(self, parameters: list[torch.Tensor], state: list[bool], *, stacked: bool) -> None:
        """Keep the trained weights where the gradient passes."""
        for parameter, binary in zip(parameters, state, strict=True):
            if binary:
                parameter.clamp_(-1.0, 1.0)


def binary_positions(arrays: Sequence[Array], *, ends: bool) -> list[int]:
    """Return which tensors are binary: matrices and kernels, without the first and the last of them unless `ends`."""
    chosen = [position for position, array in enumerate(arrays) if prunable(array)]
    return chosen if ends else chosen[1:-1]


def binarised(weight: torch.Tensor, *, stacked: bool = False) -> torch.Tensor:
    """Return signs (0 counts as plus) times each row's mean magnitude; the gradient passes where `|w| <= 1`.

    Parameters
    ----------
    weight : Tensor
        (out, ...), or of K clients (K, out, ...) if `stacked`.
    """
    import torch

    fixed = weight.detach()
    axes = tuple(range(1 + stacked, weight.ndim))
    scale = fixed.abs().mean(dim=axes, keepdim=True)
    clipped = weight.clamp(-1.0, 1.0)
    # The bracket is exactly zero, and its gradient that of the clipping.
    return torch.where(fixed < 0, -scale, scale) + (clipped - clipped.detach())


def packed(weight: Array) -> tuple[Array, Array]:
    """Return a binary tensor as it is stored: its signs, a bit each (1 is minus), and float32 scales, shape (out,)."""
    import torch

    with torch.no_grad():
        scales = torch.from_numpy(np.ascontiguousarray(weight)).abs().mean(dim=tuple(range(1, weight.ndim)))
    return np.packbits(weight.reshape(-1) < 0), scales.numpy()


def unpacked(signs: Array, scales: Array, shape: tuple[int, ...]) -> Array:
    """Return the values of what `packed` returned, bit for bit those of `binarised`."""
    minus = np.unpackbits(signs, count=int(np.prod(shape))).astype(np.bool_).reshape(shape)
    size = scales.reshape(-1, *[1] * (len(shape) - 1))
    return np.where(minus, -size, size)
