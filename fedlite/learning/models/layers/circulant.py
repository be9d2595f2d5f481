"""Circulant layers from scratch: linear layers are block-circulant on the server and on every device.

With a block as long as the features this is the circulant feature embedding: as many numbers as features.

References
----------
Cheng et al. 2015, "An exploration of parameter redundancy in deep networks with circulant projections".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import PartError
from fedlite.compression.structure.circulant import Circulant, circulant_of, replaceable
from fedlite.compression.structure.modules import put
from fedlite.learning.models.layers.base import Layers

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class CirculantLayers(Layers):
    """Block-circulant linear layers.

    Attributes
    ----------
    block : int
        Side of the blocks; layers with a shorter side stay as they are.
    """

    name: ClassVar[str] = "circulant"
    cites: ClassVar[tuple[str, ...]] = Circulant.cites

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
        return Circulant(self.block).remark

    def replace(self, net: nn.Module) -> nn.Module:
        """Return the net with block-circulant layers, drawn anew."""
        for name, layer in replaceable(net, self.block).items():
            put(net, name, circulant_of(layer, self.block))
        return net
