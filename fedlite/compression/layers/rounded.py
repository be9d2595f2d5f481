"""Linear and convolutional layers whose inputs, weights and biases lie on integer grids: simulated integer arithmetic.

    y = s_x s_w (sum q_x q_w + q_b)

with integers q of a few bits, one scale s_w for the weights and one s_x for each sample, since a device that computes
sees no other; the bias lies on the grid of the sum, as a 32-bit integer would. What a layer computes in float32 is
exactly what integers would give as long as scales are powers of two and sums stay below 2^24, and differs from it by
float32's rounding otherwise. Gradients pass straight through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlite.compression.constraint.fake_quant import grid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Run = Callable[[Tensor, Tensor, None], Tensor]


@dataclass(frozen=True)
class Grids:
    """Bits of weights and of inputs, and whether scales are rounded up to powers of two."""

    bits: int = 8
    inputs: int = 8
    powers: bool = False


class Rounded:
    """What the layers below have in common."""

    grids: Grids = Grids()
    """Of all layers of a net; `QuantisedNet.build` sets it."""

    def _computed(self, x: Tensor, weight: Tensor, bias: Tensor | None, run: Run) -> Tensor:
        q_x, s_x = grid_of(x, self.grids.inputs, stacked=True, powers=self.grids.powers)
        q_w, s_w = grid_of(weight, self.grids.bits, powers=self.grids.powers)
        out = run(_straight(q_x * s_x, x), _straight(q_w * s_w, weight), None)
        if bias is None:
            return out
        bias = bias if isinstance(self, nn.Linear) else bias.reshape(-1, *(1,) * (weight.dim() - 2))
        s_b = s_x * s_w.reshape(())
        return out + _straight(torch.round(bias.detach() / s_b) * s_b, bias)


class RoundedLinear(Rounded, nn.Linear):
    """`nn.Linear` on integer grids."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out)."""
        return self._computed(x, self.weight, self.bias, F.linear)


class RoundedConv1d(Rounded, nn.Conv1d):
    """`nn.Conv1d` on integer grids."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what the convolution gives."""
        return self._computed(x, self.weight, self.bias, self._conv_forward)


class RoundedConv2d(Rounded, nn.Conv2d):
    """`nn.Conv2d` on integer grids."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what the convolution gives."""
        return self._computed(x, self.weight, self.bias, self._conv_forward)


ROUNDED: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.Linear: RoundedLinear,
    nn.Conv1d: RoundedConv1d,
    nn.Conv2d: RoundedConv2d,
}
"""torch's layer -> the one that stands in for it."""


def _straight(value: Tensor, like: Tensor) -> Tensor:
    """Return a value with the gradient of what it was made from: the bracket is exactly zero."""
    return value + (like - like.detach())
