"""Taking channels out: a smaller net of the same class, and where its tensors lie in the whole one."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from fedlite.compression.channels.layers import Role, layers_of, narrow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from fedlite.compression.channels.groups import Coupling, Indices, Marks, Side
    from fedlite.compression.overlap import IndexMap


def without(net: nn.Module, coupling: Coupling, keep: Sequence[Marks]) -> nn.Module:
    """Return a copy of a net that has only the units of each group that are kept; the others are really gone.

    Parameters
    ----------
    net : nn.Module
    coupling : Coupling
        Of this net.
    keep : sequence of bool arrays, each (units,)
        For each group.
    """
    kept = coupling.kept(keep)
    small = copy.deepcopy(net)
    for layer in layers_of(small):
        if (layer.name, "out") in kept:
            out = kept[layer.name, "out"]
            narrow(layer, out, kept.get((layer.name, "in"), out))
    return small


def maps_of(net: nn.Module, coupling: Coupling, keep: Sequence[Marks]) -> list[IndexMap]:
    """Return for each tensor of the smaller net's state where it lies in the whole one's, in the order of the state."""
    kept = coupling.kept(keep)
    sides: dict[str, list[Side]] = {}
    for layer in layers_of(net):
        if layer.role is not Role.OPAQUE and (layer.name, "out") in kept:
            sides |= {key: [(layer.name, side) for side in found] for key, found in layer.tensors()}
    return [
        _index([kept[side] for side in sides.get(key, [])], tuple(value.shape))
        for key, value in net.state_dict().items()
    ]


def _index(kept: Sequence[Indices], shape: tuple[int, ...]) -> IndexMap:
    axes = [axis for axis, channels in enumerate(kept) if len(channels) < shape[axis]]
    if len(axes) > 1:
        # Two index lists in one expression would be paired up by numpy; the open mesh takes their product.
        return np.ix_(*kept, *(np.arange(length) for length in shape[len(kept) :]))
    return tuple(kept[axis] if axis in axes else slice(None) for axis in range(len(shape)))


def counted(net: nn.Module, small: nn.Module, coupling: Coupling, keep: Sequence[Marks]) -> Mapping[str, object]:
    """Return what a removal did: parameters, and the channels that each layer's outputs kept and had."""
    kept = coupling.kept(keep)
    return {
        "params": [sum(parameter.numel() for parameter in model.parameters()) for model in (net, small)],
        "channels": {
            name: [len(kept[name, "out"]), coupling.sizes[name, "out"]]
            for name in dict.fromkeys(source for group in coupling.groups for source in group.sources)
        },
    }
