"""Binarised linear layers with a low-rank residual: y = s o sign(W) x + B A x, trained straight through the sign.

W is the shadow of the signs: it is trained, averaged and sent in full precision, and a delivered model would keep its
signs, a scale per output and the thin residual. Toy scale: pretraining and binarised activations are left out.

References
----------
Xing et al. 2024, "BiPFT: Binary Pre-trained Foundation Transformer with Low-Rank Estimation of Binarization Residual
Polynomials". Rastegari et al. 2016, "XNOR-Net", section 3.1 (the best scale of signs is the mean magnitude).
Bengio, Leonard, Courville 2013 (straight through).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from fedlite.compression.part import PartError
from fedlite.compression.structure.modules import layers_of, put
from fedlite.learning.models.layers.base import Layers

if TYPE_CHECKING:
    from collections.abc import Sequence


class BinaryResidualLinear(nn.Module):
    """A linear layer of signs with a scale per output, and a residual of low rank in full precision."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.weight = base.weight
        self.bias = base.bias
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))  # as torch draws a linear layer's weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., out) from (..., in)."""
        return F.linear(x, self.binary(), self.bias) + F.linear(F.linear(x, self.a), self.b)

    def binary(self) -> torch.Tensor:
        """Return the weights as they are multiplied: signs times the mean magnitude of their row (0 counts as +)."""
        signs = torch.where(self.weight < 0, -1.0, 1.0)
        rounded = (signs * self.weight.abs().mean(dim=1, keepdim=True)).detach()
        # Straight through: the value of the first, the gradient of the second.
        return rounded + (self.weight - self.weight.detach())


@dataclass(frozen=True)
class BinaryResidual(Layers):
    """Linear layers as signs with a low-rank residual.

    Attributes
    ----------
    rank : int
        Of the residual.
    keep : tuple of str
        Layers that stay in full precision, by full name or any part of it between dots.
    """

    name: ClassVar[str] = "binary-residual"
    cites: ClassVar[tuple[str, ...]] = ("xing2024bipft", "rastegari2016xnor")

    rank: int = 4
    keep: tuple[str, ...] = ("classifier",)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise PartError(f"rank: got {self.rank}, expected 1 or more; write for example 4")

    @property
    def label(self) -> str:
        """Such as "binary, residual of rank 4"."""
        return f"binary, residual of rank {self.rank}"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return (
            "only a delivery that stores signs in a bit is smaller: training keeps, sends and stores full precision and"
            " does more work; no engine here has kernels for signs"
        )

    def replace(self, net: nn.Module) -> nn.Module:
        """Return the net with binarised layers."""
        layers: dict[str, nn.Linear] = layers_of(net, nn.Linear)
        chosen = {name: layer for name, layer in layers.items() if not _named(name, self.keep)}
        if not chosen:
            raise PartError(
                f"keep: got {', '.join(self.keep) or 'nothing'}, which leaves none of"
                f" {', '.join(layers) or 'no layers'}, expected a net with further linear layers;"
                " keep fewer, or choose another technique"
            )
        for name, layer in chosen.items():
            put(net, name, BinaryResidualLinear(layer, self.rank))
        return net


def _named(layer: str, names: Sequence[str]) -> bool:
    return any(f".{name}." in f".{layer}." for name in names)
