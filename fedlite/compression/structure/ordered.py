"""Ordered dropout: every step trains one of several nested widths, so that each of them is a model that can be cut out.

A device holds the widest net of its own. In training a width is drawn for each step, all alike, and the first channels
of every layer up to it are computed and updated; tests run the widest. With distillation the narrower widths also learn
from the widest one's softened answers on the same batch, which costs its forward pass in those steps.

The widths share batch statistics, which the paper keeps apart: group normalisation suits them better.

References
----------
Horvath et al. 2021, "FjORD: Fair and accurate federated learning under heterogeneous targets with ordered dropout",
section 3 (ordered dropout) and equation 4 (self-distillation; here its divergence is added to the labels' loss by
`distillation` times the temperature's square, as Hinton et al. 2015 weigh it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.width import Slice, check_share, slice_maps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


@dataclass(frozen=True)
class Ordered(Structure):
    """The first channels of every layer, as many as are drawn in each step.

    Attributes
    ----------
    shares : tuple of float
        Shares of the full width, rising; the last one is the widest that the device trains, holds and ships.
    distillation : float
        How much the widest one's answers count beside the labels for the others; 0 for not at all.
    temperature : float
        Softens both sides of the distillation.
    """

    name: ClassVar[str] = "ordered"
    cites: ClassVar[tuple[str, ...]] = ("horvath2021fjord",)

    shares: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    distillation: float = 0.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in pairwise((0.0, *self.shares)))
        if not (len(self.shares) > 1 and rising and self.shares[-1] <= 1):
            raise PartError(
                f"shares: got {list(self.shares)}, expected two or more, rising, above 0 and at most 1; "
                "write for example [0.25, 0.5, 1.0]"
            )
        if not (math.isfinite(self.distillation) and self.distillation >= 0):
            raise PartError(f"distillation: got {self.distillation}, expected a finite number, 0 or more; 1 is usual")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise PartError(f"temperature: got {self.temperature}, expected a finite number above 0; 2 is usual")

    @property
    def widest(self) -> float:
        """The share that a device holds."""
        return self.shares[-1]

    @property
    def label(self) -> str:
        """Such as "ordered to 1"."""
        return f"ordered to {self.widest:g}" + (", distilled" if self.distillation else "")

    @property
    def remark(self) -> str:
        """What is saved on average only."""
        return (
            "a step takes as long as the widths that it draws, on average; memory, bytes and what is shipped are those"
            " of the widest"
        )

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the widest net, which draws a narrower one for each step."""
        from fedlite.compression.structure.ordered_net import OrderedNet

        check_share(self.name, spec, self.shares[0])
        narrower = [(spec.build(share), slice_maps(spec, share, self.widest)) for share in self.shares[:-1]]
        return OrderedNet(spec.build(self.widest), narrower, self.shares, self.distillation, self.temperature)

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Slice:
        """Return the coordinates of the widest net."""
        return Slice(full, slice_maps(spec, self.widest))
