"""The full net: what every device trains unless its plan says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from fedlite.compression.structure.base import Array, NetSpec, Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from fedlite.compression.overlap import Held, OverlapSum


@dataclass(frozen=True)
class Full(Structure):
    """The net as the scenario names it."""

    name: ClassVar[str] = "full"
    covers: ClassVar[bool] = True

    @property
    def is_full(self) -> bool:
        """It is."""
        return True

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the full net."""
        return spec.build()

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Whole:
        """Return that every tensor lies where it is."""
        return Whole(full)


FULL: Final = Full()
"""The structure of a plan that names none."""


@dataclass(frozen=True)
class Whole:
    """The placement of a net that is the full one."""

    full: Sequence[Array]

    def take(self) -> list[Array]:
        """Return the full model's own tensors."""
        return list(self.full)

    def add(self, total: OverlapSum, sums: Sequence[Array], weight: float, held: Held | None = None) -> None:
        """Add every tensor as it is."""
        total.add(sums, weight, held=held)
