"""Circulant layers on some devices: each linear layer's nearest block-circulant matrix, a b-th of its parameters.

`place` takes the mean of each wrapped diagonal, `add` writes every client's matrix out. The net computes by Fourier
transforms (`compression/circulant.py`), and is priced by what they really multiply.

References
----------
Cheng et al. 2015, "An exploration of parameter redundancy in deep networks with circulant projections".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import nn

from fedlite.compression.circulant import CirculantLinear, nearest_columns, written_out
from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.modules import layers_of, put

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fedlite.compression.overlap import Held, OverlapSum


@dataclass(frozen=True)
class Circulant(Structure):
    """Linear layers with block-circulant matrices.

    Attributes
    ----------
    block : int
        Side of the blocks; layers with a shorter side stay as they are.
    """

    name: ClassVar[str] = "circulant"
    cites: ClassVar[tuple[str, ...]] = ("cheng2015circulant",)
    covers: ClassVar[bool] = True

    block: int = 8

    def __post_init__(self) -> None:
        if self.block < 2:  # noqa: PLR2004 - a block of one is the number itself
            raise PartError(f"block: got {self.block}, expected 2 or more; write for example 8")

    @property
    def label(self) -> str:
        """Such as "circulant, blocks of 8"."""
        return f"circulant, blocks of {self.block}"

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return (
            "a number for each wrapped diagonal: less to send and to store; its time is that of the multiplications of"
            " Fourier transforms, which no phone's engine was measured with: claim no speed"
        )

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net with its linear layers replaced.

        Raises
        ------
        PartError
            If no linear layer has room for a block.
        """
        net = spec.build()
        for name, layer in replaceable(net, self.block).items():
            put(net, name, circulant_of(layer, self.block))
        return net

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Diagonals:
        """Return which of the full net's tensors are block-circulant."""
        net = spec.build()
        replaced = {f"{name}.weight" for name in replaceable(net, self.block)}
        return Diagonals(full, [key in replaced for key in net.state_dict()], self.block)


@dataclass(frozen=True)
class Diagonals:
    """The placement; `replaced` says which tensors of `full` are matrices of blocks."""

    full: Sequence[Array]
    replaced: Sequence[bool]
    block: int

    def take(self) -> list[Array]:
        """Return the means of the wrapped diagonals in place of every matrix."""
        pairs = zip(self.full, self.replaced, strict=True)
        return [nearest_columns(array, self.block) if own else array for array, own in pairs]

    def add(self, total: OverlapSum, sums: Sequence[Array], weight: float, held: Held | None = None) -> None:
        """Add the matrices written out; what clients hold at zero, they hold on the whole diagonal."""
        masks = None if held is None else list(self._whole(held))
        total.add(list(self._whole(sums)), weight, held=masks)  # type: ignore[arg-type]

    def _whole(self, tensors: Sequence[Array | None]) -> Iterator[Array | None]:
        for tensor, full, own in zip(tensors, self.full, self.replaced, strict=True):
            yield written_out(np.asarray(tensor), full.shape) if own and tensor is not None else tensor


def replaceable(net: nn.Module, block: int) -> dict[str, nn.Linear]:
    """Return the linear layers with room for a block, by name.

    Raises
    ------
    PartError
        If there is none.
    """
    layers: dict[str, nn.Linear] = layers_of(net, nn.Linear)
    found = {name: layer for name, layer in layers.items() if min(layer.weight.shape) >= block}
    if not found:
        sides = ", ".join(f"{name} ({min(layer.weight.shape)})" for name, layer in layers.items())
        raise PartError(
            f"block: got {block}, expected at most the shorter side of a linear layer: {sides or 'the net has none'};"
            " write a smaller block, or another technique"
        )
    return found


def circulant_of(layer: nn.Linear, block: int) -> CirculantLinear:
    """Return a block-circulant layer of the same sides, drawn anew."""
    return CirculantLinear(layer.in_features, layer.out_features, block, bias=layer.bias is not None)
