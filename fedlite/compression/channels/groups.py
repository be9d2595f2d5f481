"""What can be taken out of a net, and what cannot: groups of units that are alternatives to each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Marks = NDArray[np.bool_]
Indices = NDArray[np.intp]
Side = tuple[str, str]
"""A layer's name and "out" or "in"; a relay has "out" only."""


@dataclass(frozen=True, eq=False)
class Group:
    """Units that are alternatives to each other.

    Attributes
    ----------
    members : mapping
        Side of a layer -> its channels in each unit, (units, channels of a unit).
    sources : tuple of str
        Layers that make the channels, in the order of the net.
    norms : tuple of str
        Layers that normalise them.
    """

    members: Mapping[Side, Indices]
    sources: tuple[str, ...]
    norms: tuple[str, ...]

    @property
    def name(self) -> str:
        """The first layer that makes these channels."""
        return self.sources[0]

    @property
    def makers(self) -> dict[str, Indices]:
        """Names of all tensors that make these channels -> which of their rows are each unit's, (units, rows).

        Weights and biases of the layers that make, normalise and filter them; where a net has no such tensor, it is
        left out by who looks.
        """
        return {
            f"{layer}.{kind}" if layer else kind: channels
            for (layer, side), channels in self.members.items()
            if side == "out"
            for kind in ("weight", "bias")
        }

    @property
    def units(self) -> int:
        """How many there are."""
        return len(self.members[self.name, "out"])

    @property
    def channels(self) -> int:
        """How many channels of its first layer a unit has."""
        return int(self.members[self.name, "out"].shape[1])


@dataclass(frozen=True, eq=False)
class Coupling:
    """What can be taken out of a net.

    Attributes
    ----------
    groups : tuple of Group
    fixed : mapping
        Layers some of whose output channels have to stay -> why, in words.
    sizes : mapping
        Side of each layer -> number of its channels.
    """

    groups: tuple[Group, ...]
    fixed: Mapping[str, str]
    sizes: Mapping[Side, int]

    def chosen(self, layers: Sequence[str] = ()) -> list[int]:
        """Return the positions of the groups that are made by the named layers; of all if none is named.

        Raises
        ------
        PartError
            If a layer is unknown or cannot be pruned, or nothing can.
        """
        for name in layers:
            if (name, "out") not in self.sizes and name not in self.fixed:
                known = ", ".join(dict.fromkeys(source for group in self.groups for source in group.sources))
                raise PartError(
                    f"layers: got {name!r}, expected layers that make channels: {known or 'none'}; name one"
                )
            if not any(name in group.sources for group in self.groups):
                why = self.fixed.get(name, "it makes no channels of its own")
                raise PartError(
                    f"layers: got {name!r}, whose channels have to stay: {why}; expected others; leave it out"
                )
        if not self.groups:
            told = "; ".join(f"{name or 'the net'!r}: {why}" for name, why in list(self.fixed.items())[:4])
            raise PartError(
                f"channels: got a net none of whose channels can go ({told}), expected some; choose another"
            )
        return [
            position
            for position, group in enumerate(self.groups)
            if not layers or any(name in group.sources for name in layers)
        ]

    def kept(self, keep: Sequence[Marks]) -> dict[Side, Indices]:
        """Return for each side of each layer the channels that stay when these units of each group do, ascending."""
        left = {side: np.ones(size, np.bool_) for side, size in self.sizes.items()}
        for group, units in zip(self.groups, keep, strict=True):
            for side, channels in group.members.items():
                left[side][channels[~units].reshape(-1)] = False
        return {side: np.flatnonzero(marks) for side, marks in left.items()}

    @cached_property
    def everything(self) -> list[Marks]:
        """All units of all groups."""
        return [np.ones(group.units, np.bool_) for group in self.groups]
