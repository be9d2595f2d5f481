"""Hierarchical sharing: layers of one semantic level share their tensors, which the state holds once.

A level is layers of one kind, sides and settings whose names differ in numbers alone, such as `blocks.0.mlp` and
`blocks.1.mlp`, or the ones that `levels` lists. `place` takes the mean of a level, `add` copies it to all of them.

References
----------
Lan et al. 2020, "ALBERT: A lite BERT for self-supervised learning of language representations", section 3.1.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import nn

from fedlite.compression.part import PartError
from fedlite.compression.structure.base import Array, NetSpec, Structure
from fedlite.compression.structure.modules import layers_of, put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.overlap import Held, OverlapSum

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.LayerNorm, nn.GroupNorm)


class Again(nn.Module):
    """Runs another layer once more; it has no tensors of its own."""

    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self._first = (first,)  # in a tuple, for a module here would be in the state a second time

    def forward(self, *inputs: Any) -> Any:
        """Return what the other layer returns."""
        return self._first[0](*inputs)


@dataclass(frozen=True)
class Tied(Structure):
    """Layers of one level as one.

    Attributes
    ----------
    levels : tuple of tuples of str, optional
        Layers that share, by name; without any all whose names differ in numbers alone.
    """

    name: ClassVar[str] = "tied"
    cites: ClassVar[tuple[str, ...]] = ("lan2020albert",)
    covers: ClassVar[bool] = True

    levels: tuple[tuple[str, ...], ...] = ()

    @property
    def remark(self) -> str:
        """What it saves and what not."""
        return "layers of a level share their tensors: less to send, to store and to hold; every layer still runs"

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the net with its levels tied.

        Raises
        ------
        PartError
            If no layers can share, or some that `levels` names cannot.
        """
        net = spec.build()
        for first, *others in self._found(net):
            for name in others:
                put(net, name, Again(net.get_submodule(first)))
        return net

    def place(self, spec: NetSpec, full: Sequence[Array]) -> Means:
        """Return which of the full net's tensors are one in the net."""
        net = spec.build()
        keys = list(net.state_dict())
        owner = {name: first for first, *others in self._found(net) for name in others}
        sources = []
        for key in keys:
            layer, _, tensor = key.rpartition(".")
            sources.append(keys.index(f"{owner[layer]}.{tensor}" if layer in owner else key))
        return Means(full, sources)

    def _found(self, net: nn.Module) -> list[tuple[str, ...]]:
        layers: dict[str, nn.Module] = layers_of(net, *_KINDS)
        if self.levels:
            return [_checked(level, layers) for level in self.levels]
        groups = defaultdict(list)
        for name, layer in layers.items():
            groups[".".join("#" if part.isdigit() else part for part in name.split(".")), repr(layer)].append(name)
        found = [tuple(names) for names in groups.values() if len(names) > 1]
        if not found:
            raise PartError(
                f"tied: got {', '.join(layers) or 'no layers'}, of which no two are of one kind and size, expected a"
                " net of repeated blocks; name `levels`, or choose another technique"
            )
        return found


@dataclass(frozen=True)
class Means:
    """The placement; `sources` says for each tensor of `full` where the first of its level is."""

    full: Sequence[Array]
    sources: Sequence[int]

    def take(self) -> list[Array]:
        """Return the mean of each level, and all else as it is."""
        return [self._mean(position) for position in self._kept()]

    def add(self, total: OverlapSum, sums: Sequence[Array], weight: float, held: Held | None = None) -> None:
        """Add each tensor to all layers of its level."""
        where = {source: position for position, source in enumerate(self._kept())}
        places = [where[source] for source in self.sources]
        total.add([sums[i] for i in places], weight, held=None if held is None else [held[i] for i in places])

    def _kept(self) -> list[int]:
        return [position for position, source in enumerate(self.sources) if source == position]

    def _mean(self, position: int) -> Array:
        level = [array for array, source in zip(self.full, self.sources, strict=True) if source == position]
        if len(level) == 1:
            return level[0]
        return np.mean(level, axis=0, dtype=np.float64).astype(level[0].dtype)


def _checked(level: tuple[str, ...], layers: dict[str, nn.Module]) -> tuple[str, ...]:
    for name in level:
        if name not in layers:
            raise PartError(f"levels: got {name!r}, expected one of {', '.join(layers)}; write one of them")
    unlike = [name for name in level if repr(layers[name]) != repr(layers[level[0]])]
    if unlike or len(set(level)) != len(level) or not level[1:]:
        raise PartError(
            f"levels: got {', '.join(level) or 'an empty level'}, expected two or more different layers of one kind,"
            " size and settings; leave the others out"
        )
    return level
