"""Which channels of which tensors must go together, and which cannot go at all.

Two channels are coupled if an input channel of some layer depends on both; an output channel of a layer and all input
channels that depend on it are coupled; so are the channels of one normalisation group. A **unit** is what is coupled
by any chain of these: the least that can be taken out. A **group** holds the units that lie in the same layers, which
are alternatives to each other. Units that reach the net's input or output, or a layer that cannot be sliced, stay.

That a group's units can really go is tried: without some of them the smaller net has to compute what the whole one
computes with those at zero. It does not where a net counts its own channels, as one that splits or shuffles them does.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fedlite.compression.channels.groups import Coupling, Group, Indices, Side
from fedlite.compression.channels.layers import Layer, Role
from fedlite.compression.channels.probe import INPUT, Probe
from fedlite.compression.channels.trial import without_untrue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from fedlite.compression.channels.groups import Marks

_FIXED: Final = 0
"""The node that stands for all that cannot be sliced."""


def coupled(net: nn.Module, input_shape: tuple[int, ...]) -> Coupling:
    """Return what can be taken out of a net; neither it nor torch's random state is changed.

    Parameters
    ----------
    net : nn.Module
    input_shape : tuple of int
        Of one sample.
    """
    return without_untrue(net, input_shape, _Graph(Probe(net, input_shape)).coupling())


class _Graph:
    """The channels of a net as nodes, and what couples them as edges."""

    def __init__(self, probe: Probe) -> None:
        self._layers = {layer.name: layer for layer in probe.layers}
        self._sliced = [layer for layer in probe.layers if layer.role is not Role.OPAQUE]
        self.sizes: dict[Side, int] = {}
        for layer in self._sliced:
            self.sizes[layer.name, "out"] = layer.outputs
            if layer.role is Role.DENSE:
                self.sizes[layer.name, "in"] = layer.inputs
        starts = np.cumsum([1, *self.sizes.values()])
        self._start = dict(zip(self.sizes, starts.tolist(), strict=False))
        self._nodes = int(starts[-1])
        self._edges: list[tuple[Indices, Indices]] = []
        self._why: dict[str, str] = {
            layer.name: "it is not called by the net, which may use its weights unseen" for layer in probe.idle
        }
        self._why |= {
            layer.name: f"{layer.text} cannot be sliced" for layer in probe.layers if layer.role is Role.OPAQUE
        }
        self._draw(probe)

    def coupling(self) -> Coupling:
        """Return the connected components, sorted into groups."""
        ends = [np.concatenate(parts) for parts in zip(*self._edges, strict=True)]
        matrix = coo_array((np.ones(len(ends[0]), np.bool_), (ends[0], ends[1])), shape=(self._nodes, self._nodes))
        _, label = connected_components(matrix, directed=False)
        sides = {side: label[start : start + self.sizes[side]] for side, start in self._start.items()}
        fixed = self._whole_layers(sides, {int(label[_FIXED])})
        units = {unit: found for unit, found in _by_label(sides).items() if unit not in fixed}
        units = {unit: found for unit, found in units.items() if any(self._makes(side) for side in found)}
        for layer in self._sliced:
            own = set(sides[layer.name, "out"].tolist())
            if layer.role is Role.DENSE and not own <= units.keys():
                self._why.setdefault(layer.name, "its channels go together with others that have to stay")
        return Coupling(self._grouped(units), self._why, self.sizes)

    def _draw(self, probe: Probe) -> None:
        for layer in probe.layers:
            if layer.role is Role.OPAQUE:
                self._connect(layer, probe.reached(layer.name, 1))
            elif layer.role is Role.DENSE:
                self._connect(layer, probe.reached(layer.name, layer.outputs))
            if layer.role is not Role.OPAQUE:
                nodes = self._range(layer.name, "out")
                first = nodes[np.arange(len(nodes)) // layer.together * layer.together]
                self._edges.append((first, nodes))
        self._connect(None, probe.reached(INPUT, 1))

    def _connect(self, source: Layer | None, reached: Mapping[str, Marks]) -> None:
        for name, marks in reached.items():
            here, there = np.nonzero(marks)
            fixed = source is None or source.role is Role.OPAQUE
            begin = np.full(len(here), _FIXED) if fixed else self._range(source.name, "out")[here]  # type: ignore[union-attr]
            sink = self._layers.get(name)
            if sink is None or sink.role is Role.OPAQUE:
                end = np.full(len(there), _FIXED)
                if source is not None:
                    told = (
                        "they are the output of the net"
                        if sink is None
                        else f"they enter {sink.text}, which cannot be sliced"
                    )
                    self._why.setdefault(source.name, told)
            else:
                end = self._range(name, "in" if sink.role is Role.DENSE else "out")[there]
            self._edges.append((begin, end))

    def _range(self, name: str, side: str) -> Indices:
        begin = self._start[name, side]
        return np.arange(begin, begin + self.sizes[name, side])

    def _makes(self, side: Side) -> bool:
        return side[1] == "out" and self._layers[side[0]].role is Role.DENSE

    def _whole_layers(self, sides: Mapping[Side, Indices], fixed: set[int]) -> set[int]:
        """Return, with those that are fixed, the components that are all of some layer: nothing would be left."""
        found = set(fixed)
        for (name, side), labels in sides.items():
            if len(first := np.unique(labels)) == 1 and int(first[0]) not in fixed:
                found.add(int(first[0]))
                if side == "out":
                    self._why.setdefault(name, "all of them go together")
        return found

    def _grouped(self, units: Mapping[int, Mapping[Side, Indices]]) -> tuple[Group, ...]:
        alike: dict[tuple[tuple[Side, int], ...], list[int]] = defaultdict(list)
        for unit, found in units.items():
            alike[tuple((side, len(channels)) for side, channels in found.items())].append(unit)
        return tuple(
            Group(
                {side: np.stack([units[unit][side] for unit in of]) for side, _ in sides},
                tuple(name for (name, which), _ in sides if self._makes((name, which))),
                tuple(name for (name, _), _ in sides if self._layers[name].is_norm),
            )
            for sides, of in alike.items()
        )


def _by_label(sides: Mapping[Side, Indices]) -> dict[int, dict[Side, Indices]]:
    """Return the channels of each component, side by side, components in the order of their first channel."""
    found: dict[int, dict[Side, Indices]] = {}
    for side, unit, channels in _pieces(sides):
        found.setdefault(unit, {})[side] = channels
    return found


def _pieces(sides: Mapping[Side, Indices]) -> Iterator[tuple[Side, int, Indices]]:
    for side, labels in sides.items():
        order = np.argsort(labels, kind="stable")
        names, first = np.unique(labels[order], return_index=True)
        parts = dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))
        for unit in dict.fromkeys(labels.tolist()):
            yield side, unit, parts[unit]
