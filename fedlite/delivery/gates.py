"""Gates that say from a layer's input which of its channels are computed, and layers that compute no others.

Each row of a batch is computed by itself, as on a device, with layers from which the other channels were really taken:
nothing is masked, and what is traced for the price is what is executed, the gates and the gathering of weights with it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlite.compression.channels.layers import Layer, layers_of, narrow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.compression.channels.groups import Coupling, Group

    Indices = NDArray[np.intp]
    Floats = NDArray[np.float64]

_RIDGE: Final = 1e-2
"""Of the mean square of the features: keeps the fit of a gate from following single rows."""


class Gate(nn.Module):
    """A linear layer on the pooled magnitudes of an input, whose `keep` largest scores win.

    Parameters
    ----------
    weight : array (units, channels * cells)
    bias : array (units,)
        Together they guess how much each unit will add to what reads it.
    keep : int
        How many units are computed.
    cells : int
        Into how many parts each spatial dimension is pooled.
    """

    def __init__(self, weight: Floats, bias: Floats, keep: int, cells: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(weight.astype(np.float32)))
        self.bias = nn.Parameter(torch.from_numpy(bias.astype(np.float32)))
        self.keep, self.cells = keep, cells
        self.chosen: list[Indices] = []
        """The units of the rows that went through last, ascending."""

    def forward(self, x: Tensor, came: Sequence[Indices] | None, channels: int) -> None:
        """Choose for each row of an input (N, its channels, *space), of which some may have been left out."""
        scores = F.linear(pooled(x, came, channels, self.cells), self.weight, self.bias)
        found = scores.topk(self.keep, dim=1).indices.sort(dim=1).values
        self.chosen = list(found.numpy().astype(np.intp))


def pooled(x: Tensor, came: Sequence[Indices] | None, channels: int, cells: int) -> Tensor:
    """Return the mean magnitude in each cell of each channel, (N, channels * cells), zero for those left out."""
    pool = F.adaptive_avg_pool1d if x.ndim == 3 else F.adaptive_avg_pool2d  # noqa: PLR2004 - (N, channels, length)
    found = pool(x.abs(), cells).flatten(2)
    if came is None:
        return found.flatten(1)
    whole = found.new_zeros(len(x), channels, found.shape[2])
    where = torch.from_numpy(np.stack(came))[:, :, None].expand_as(found)
    return whole.scatter(1, where, found).flatten(1)


class Side(NamedTuple):
    """A gate, and which channels of a layer each of its units stands for, (units, channels of a unit)."""

    gate: Gate
    members: Indices

    def channels(self) -> list[Indices]:
        """Return the channels of each row that the gate left, ascending."""
        return [np.sort(self.members[chosen], axis=None) for chosen in self.gate.chosen]


class Skipping(nn.Module):
    """A layer of which each row computes the channels that gates have left.

    Parameters
    ----------
    layer : Layer
    makes, reads : Side, optional
        Whose channels it makes and reads; all of them if not given.
    own : bool
        Whether the gate of `makes` is asked here, and lies here.
    """

    def __init__(self, layer: Layer, makes: Side | None, reads: Side | None, *, own: bool) -> None:
        super().__init__()
        self.layer = layer.module
        self.gate = makes.gate if own and makes else None
        self._name, self._role, self._sizes = layer.name, layer.role, (layer.outputs, layer.inputs)
        # In a tuple, the gates of other layers are no submodules of this one.
        self._sides = (makes, reads)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs that are computed, (N, as many channels as the gate leaves, *space)."""
        makes, reads = self._sides
        came = None if reads is None else reads.channels()
        if self.gate is not None:
            self.gate(x, came, self._sizes[1])
        made = [np.arange(self._sizes[0])] * len(x) if makes is None else makes.channels()
        read = [np.arange(self._sizes[1])] * len(x) if came is None else came
        return torch.cat([self._left(*some)(row) for row, *some in zip(x[:, None], made, read, strict=True)])

    def _left(self, made: Indices, read: Indices) -> Any:
        """Return the layer with these channels alone; the tensors of the whole one stay where they are."""
        some: Any = copy.copy(self.layer)
        some._parameters, some._buffers = dict(self.layer._parameters), dict(self.layer._buffers)  # noqa: SLF001
        narrow(Layer(self._name, some, self._role), made, read)
        return some


def gateable(net: nn.Module, coupling: Coupling) -> list[int]:
    """Return the positions of the groups that a gate may choose from: made by one convolution, in the order of the net.

    Groups that are only a part of the channels of a layer are left alone, and such that are normalised by the
    statistics of the batch, which a single row does not have.
    """
    layers = {layer.name: layer for layer in layers_of(net)}
    order = list(layers)
    found = [
        position
        for position, group in enumerate(coupling.groups)
        if len(group.sources) == 1
        and isinstance(layers[group.name].module, (nn.Conv1d, nn.Conv2d))
        and group.units > 1
        and all(members.size == coupling.sizes[side] for side, members in group.members.items())
        and all(getattr(layers[name].module, "track_running_stats", True) for name in group.norms)
    ]
    return sorted(found, key=lambda position: order.index(coupling.groups[position].name))


def gated(net: nn.Module, coupling: Coupling, gates: Mapping[int, Gate]) -> nn.Module:
    """Return a copy of a net in which gates, by the position of their group, choose what is computed."""
    made = copy.deepcopy(net)
    sides = {
        side: Side(gate, members)
        for position, gate in gates.items()
        for side, members in coupling.groups[position].members.items()
    }
    sources = {coupling.groups[position].name for position in gates}
    for layer in layers_of(made):
        makes, reads = sides.get((layer.name, "out")), sides.get((layer.name, "in"))
        if makes or reads:
            parent, _, child = layer.name.rpartition(".")
            setattr(made.get_submodule(parent), child, Skipping(layer, makes, reads, own=layer.name in sources))
    return made


def fitted(
    net: nn.Module, coupling: Coupling, keep: float, cells: int, x: NDArray[np.float32], positions: Sequence[int]
) -> tuple[dict[int, Gate], dict[int, Gate]]:
    """Return a gate for each of the groups, fitted to rows (N, *sample) one after the other; and fixed ones to compare.

    A gate learns by ridge regression how much each unit of a row adds to what reads it: the mean magnitude there times
    the length of the weights that read it. The fixed ones choose the units that add most in the mean, for every row.
    """
    gates: dict[int, Gate] = {}
    fixed: dict[int, Gate] = {}
    for position in positions:
        group = coupling.groups[position]
        left = max(1, round(keep * group.units))
        seen, added = _seen(gated(net, coupling, gates), group, x, cells)
        centred = seen - seen.mean(axis=0)
        moment = centred.T @ centred / len(x)
        eased = moment + _RIDGE * max(float(np.trace(moment)) / len(moment), 1e-12) * np.eye(len(moment))
        weight = np.linalg.solve(eased, centred.T @ (added - added.mean(axis=0)) / len(x)).T
        gates[position] = Gate(weight, added.mean(axis=0) - weight @ seen.mean(axis=0), left, cells)
        fixed[position] = Gate(np.zeros_like(weight), added.mean(axis=0), left, cells)
    return gates, fixed


def _seen(net: nn.Module, group: Group, x: NDArray[np.float32], cells: int) -> tuple[Floats, Floats]:
    """Return what a gate of a group will look at, (N, features), and what each unit adds to its readers, (N, units)."""
    features: list[Floats] = []
    added = np.zeros((len(x), group.units))

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        reads = module._sides[1] if isinstance(module, Skipping) else None  # noqa: SLF001 - of this file
        came = None if reads is None else reads.channels()
        channels = inputs[0].shape[1] if reads is None else reads.members.size
        features.append(pooled(inputs[0], came, channels, cells).double().numpy())

    def weigh(members: Indices) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            weight = module.get_parameter("weight").transpose(0, 1).flatten(1).double().norm(dim=1)
            each = inputs[0].abs().double().flatten(2).mean(dim=2) if inputs[0].ndim > 2 else inputs[0].abs().double()  # noqa: PLR2004
            added[:] += (each * weight).numpy()[:, members].sum(axis=2)

        return hook

    hooks = [net.get_submodule(group.name).register_forward_pre_hook(look)]
    hooks += [
        net.get_submodule(name).register_forward_pre_hook(weigh(members))
        for (name, side), members in group.members.items()
        if side == "in"
    ]
    try:
        with torch.no_grad():
            net.eval()(torch.from_numpy(np.array(x)))
    finally:
        for hook in hooks:
            hook.remove()
    return features[0], added
