"""FedPara: weights are the product, entry by entry, of two low-rank matrices, whose rank may reach the product of both.

    linear       W = (X1 Y1') o (X2 Y2')                       X (out, r), Y (in, r)
    convolution  W = (T1 x1 X1 x2 Y1) o (T2 x1 X2 x2 Y2)       T (r, r, *kernel)

The factors are the model: they are averaged, sent and stored. The weights are written out in every step.

References
----------
Hyeon-Woo, Ye-Bin, Oh 2022, "FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning",
propositions 1 and 3, section 2.2 (ranks from a share).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from fedlite.compression.part import PartError
from fedlite.compression.structure.low_rank import factorable
from fedlite.compression.structure.modules import layers_of, put
from fedlite.learning.models.layers.base import Layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compression.structure.low_rank import Layer


class FedParaLayer(nn.Module):
    """A linear layer or convolution whose weights are made of factors.

    Parameters
    ----------
    base : Linear, Conv1d or Conv2d
        Gives sides, settings, bias and the spread of the weights.
    rank : int
    """

    def __init__(self, base: Layer, rank: int) -> None:
        super().__init__()
        out, inputs, *kernel = base.weight.shape
        spread = base.weight.detach().std(correction=0).item()
        # Entries of W are products of two sums of r (for kernels r x r) products of two (three) factors.
        terms, factors = (rank, 2) if not kernel else (rank**2, 3)
        deviation = (spread / terms) ** (1 / (2 * factors))

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).normal_(std=deviation))

        for half in ("1", "2"):
            if kernel:
                self.register_parameter(f"t{half}", drawn(rank, rank, *kernel))
            self.register_parameter(f"x{half}", drawn(out, rank))
            self.register_parameter(f"y{half}", drawn(inputs, rank))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", base.bias)  # type: ignore[arg-type]
        self._settings = () if isinstance(base, nn.Linear) else (base.stride, base.padding, base.dilation)
        self._run: Callable[..., torch.Tensor] = {1: F.conv1d, 2: F.conv2d}[len(kernel)] if kernel else F.linear

    def weight(self) -> torch.Tensor:
        """Return the weights, (out, in, *kernel)."""
        first, second = (self._half(half) for half in ("1", "2"))
        return first * second

    def _half(self, half: str) -> torch.Tensor:
        x, y = getattr(self, f"x{half}"), getattr(self, f"y{half}")
        if not self._settings:
            product: torch.Tensor = x @ y.t()
            return product
        return torch.einsum("or,is,rs...->oi...", x, y, getattr(self, f"t{half}"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the layer with these weights returns."""
        out: torch.Tensor = self._run(x, self.weight(), self.bias, *self._settings)
        return out

    def merged(self) -> nn.Module:
        """Return the plain layer that computes the same."""
        weight = self.weight().detach()
        out, inputs, *kernel = weight.shape
        with_bias = self.bias is not None
        kind: Any = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d}[len(kernel)]
        layer: nn.Module = kind(inputs, out, *([kernel] if kernel else []), *self._settings, bias=with_bias)
        layer.load_state_dict({"weight": weight, **({"bias": self.bias} if with_bias else {})})
        return layer


@dataclass(frozen=True)
class FedPara(Layers):
    """Linear layers and convolutions with weights made of factors, where that is smaller.

    Attributes
    ----------
    share : float
        Where a layer's rank lies between the least that can still reach full rank (0) and the one at which nothing is
        saved (1).
    """

    name: ClassVar[str] = "fedpara"
    cites: ClassVar[tuple[str, ...]] = ("hyeonwoo2022fedpara",)

    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise PartError(f"share: got {self.share}, expected 0 to 1; write for example 0.1")

    @property
    def label(self) -> str:
        """Such as "fedpara 0.1"."""
        return f"fedpara {self.share:g}"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return "fewer numbers to send and to store; no faster: the weights are written out in every step"

    def replace(self, net: nn.Module) -> nn.Module:
        """Return the net with factors in place of weights."""
        layers = factorable(net)
        chosen = {name: rank_of(tuple(layer.weight.shape), self.share) for name, layer in layers.items()}
        if not any(chosen.values()):
            raise PartError(
                f"fedpara: got {', '.join(layers) or 'no layers'}, of which none gets smaller, expected large linear"
                " layers or ungrouped convolutions; choose a wider net, or another technique"
            )
        for name, rank in chosen.items():
            if rank:
                put(net, name, FedParaLayer(layers[name], rank))
        return net

    def merged(self, net: nn.Module) -> nn.Module:
        """Return a plain net: the weights are written out once."""
        for name, layer in layers_of(net, FedParaLayer).items():
            put(net, name, layer.merged())
        return net


def parameters_of(shape: tuple[int, ...], rank: int) -> int:
    """Return how many numbers the factors of weights (out, in, *kernel) have."""
    out, inputs, *kernel = shape
    return 2 * rank * (out + inputs + (rank * math.prod(kernel) if kernel else 0))


def rank_of(shape: tuple[int, ...], share: float) -> int:
    """Return the rank for weights (out, in, *kernel); 0 where none is smaller than the weights."""
    out, inputs, *kernel = shape
    cells = math.prod(kernel)
    # Unfolded by outputs and by inputs: as the paper's min(out, in), unless a kernel has more cells than channels.
    least = math.ceil(math.sqrt(max(min(out, inputs * cells), min(inputs, out * cells))))
    most = least
    while parameters_of(shape, most + 1) < math.prod(shape):
        most += 1
    return round(least + share * (most - least)) if parameters_of(shape, least) < math.prod(shape) else 0
