"""Shallower nets: the first blocks and their exit, or the net without some of its residual blocks.

Both hold whole tensors of the full model, as they are: shallow and deep clients are averaged where they overlap.

References
----------
Kim et al. 2023, "DepthFL: Depthwise federated learning for heterogeneous clients", section 3.
Veit, Wilber, Belongie 2016, "Residual networks behave like ensembles of relatively shallow networks", section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.width import take

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import nn

    from fedlite.compression.overlap import Held, IndexMap, OverlapSum


@dataclass(frozen=True)
class SomeTensors:
    """The placement of a net that has some of the full model's tensors, whole or in part.

    Attributes
    ----------
    full : sequence of arrays
    positions : sequence of int
        Where each tensor of the net is in `full`.
    parts : sequence of index maps, optional
        Which part of that tensor it is; the whole if not given.
    """

    full: Sequence[Array]
    positions: Sequence[int]
    parts: Sequence[IndexMap] | None = None

    def take(self) -> list[Array]:
        """Return the tensors that the net has."""
        whole = [self.full[position] for position in self.positions]
        return whole if self.parts is None else take(whole, self.parts)

    def add(self, total: OverlapSum, sums: Sequence[Array], weight: float, held: Held | None = None) -> None:
        """Add the tensors that the net has; of the others its clients hold nothing."""
        values = [np.zeros((0, *tensor.shape)) for tensor in self.full]
        maps: list[IndexMap] = [(np.False_,) for _ in self.full]  # takes nothing of any tensor, scalars included
        masks: Held = [None] * len(self.full)
        for own, position in enumerate(self.positions):
            values[position] = sums[own]
            maps[position] = (slice(None),) * self.full[position].ndim if self.parts is None else self.parts[own]
            masks[position] = None if held is None else held[own]
        total.add(values, weight, maps, masks)


_EXITS: Final = "exits"
"""The objective that learns at every exit."""


@dataclass(frozen=True)
class _Shallower(Structure):
    """A net that keeps names and shapes of the full one's tensors, but not all of them."""

    def place(self, spec: NetSpec, full: Sequence[Array]) -> SomeTensors:
        """Return which tensors the net has, whatever the values."""
        return SomeTensors(full, _positions(self, spec))


@lru_cache(maxsize=64)
def _positions(structure: Structure, spec: NetSpec) -> tuple[int, ...]:
    place_of = {name: position for position, name in enumerate(spec.build().state_dict())}
    return tuple(place_of[name] for name in structure.build(spec).state_dict())


@dataclass(frozen=True)
class Depth(_Shallower):
    """The first blocks of a net with exits, and their exit (or exits, if the net gives all).

    Attributes
    ----------
    blocks : int
        How many blocks are kept, 1 or more.
    """

    name: ClassVar[str] = "depth"
    cites: ClassVar[tuple[str, ...]] = ("kim2023depthfl",)

    blocks: int

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise PartError(f"blocks: got {self.blocks}, expected 1 or more; 1 keeps the first block and its exit")

    @property
    def label(self) -> str:
        """Such as "depth 2"."""
        return f"depth {self.blocks}"

    @property
    def remark(self) -> str:
        """What is averaged with whom."""
        return (
            "exits of shallow devices are trained by deep ones too only if the net gives all exits (outputs: all, "
            "objective: exits)"
        )

    def remark_in(self, spec: NetSpec, objective: str) -> str:
        """Return nothing where the net gives all exits and learns at each."""
        met = objective == _EXITS and getattr(spec.build(), "outputs", "last") == "all"
        return "" if met else self.remark

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net without its later blocks.

        Raises
        ------
        PartError
            If the net has no exits, or fewer blocks.
        """
        net: Any = spec.build()
        if not callable(getattr(net, "keep_first", None)):
            raise PartError(
                f"{self.name}: got a {type(net).__name__}, whose blocks have no exits, expected a net with a method "
                "'keep_first'; name a model such as 'resnet8-exits'"
            )
        if self.blocks > len(net.blocks):
            raise PartError(
                f"{self.name}: got {self.blocks} blocks of a net that has {len(net.blocks)}, expected at most as many; "
                f"write for example blocks: {len(net.blocks)}"
            )
        net.keep_first(self.blocks)
        made: nn.Module = net
        return made


@dataclass(frozen=True)
class Skip(_Shallower):
    """The net without some residual blocks: of each its shortcut is left, an identity or a projection.

    Attributes
    ----------
    blocks : tuple of int
        Which of the blocks that have a shortcut, counted from 0 in the order of the net.
    """

    name: ClassVar[str] = "skip"
    cites: ClassVar[tuple[str, ...]] = ("veit2016residual",)

    blocks: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.blocks or min(self.blocks) < 0 or len(set(self.blocks)) < len(self.blocks):
            raise PartError(
                f"blocks: got {list(self.blocks)}, expected one or more different numbers from 0; write for example [1]"
            )

    @property
    def label(self) -> str:
        """Such as "skip 1, 3"."""
        return f"skip {', '.join(map(str, self.blocks))}"

    @property
    def remark(self) -> str:
        """What stays."""
        return "a projection around a block that is left out stays, and is computed"

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net without these blocks.

        Raises
        ------
        PartError
            If the net has fewer blocks with a shortcut.
        """
        net = spec.build()
        leave_out(net, self.blocks)
        return net


def leave_out(net: nn.Module, blocks: Collection[int]) -> None:
    """Leave residual blocks of a net out, counted from 0; its other tensors stay what they are.

    Raises
    ------
    PartError
        If the net has fewer such blocks; it is then left as it is.
    """
    left = residual_blocks(net)
    names = list(left)
    if beyond := sorted(block for block in blocks if block >= len(names)):
        known = ", ".join(f"{index} ({name})" for index, name in enumerate(names)) or "none, for this net has none"
        raise PartError(
            f"skip: got block {beyond[0]}, expected one of the net's residual blocks: {known}; name another"
        )
    for block in sorted(blocks):
        parent, _, child = names[block].rpartition(".")
        setattr(net.get_submodule(parent), child, left[names[block]])


def residual_blocks(net: nn.Module) -> dict[str, nn.Module]:
    """Return the blocks of a net that can be left out, by the name of their module, with what is then left of each."""
    found: dict[str, nn.Module] = {}
    for name, module in net.named_modules():
        without = getattr(module, "without_branch", None)
        left = without() if callable(without) else None
        if left is not None:
            found[name] = left
    return found
