"""Training a net on with its gates: what it says without them, on rows that nobody has labelled, is what it learns."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlite.delivery.gates import pooled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fedlite.compression.channels.groups import Coupling, Group
    from fedlite.delivery.gates import Gate

_RATE: Final = 1e-3


def adapted(
    net: nn.Module, coupling: Coupling, gates: Mapping[int, Gate], x: NDArray[np.float32], steps: int
) -> nn.Module:
    """Return a copy of a net that was trained so many steps to say with gates what it said without.

    Rows (N, *sample) need no labels. In training what gates leave out is multiplied by zero where it would be read,
    which is the same and has gradients.
    """
    made = copy.deepcopy(net).eval()
    hooks = _masked(made, coupling, gates)
    teach(made, net, x, steps)
    for hook in hooks:
        hook.remove()
    return made


def teach(net: nn.Module, teacher: nn.Module, x: NDArray[np.float32], steps: int) -> None:
    """Train a net, in place and in evaluation, so many steps to say of rows (N, *sample) what another says."""
    rows = torch.from_numpy(np.array(x))
    with torch.no_grad():
        wanted = copy.deepcopy(teacher).eval()(rows).softmax(dim=1)
    weights = [one for one in net.eval().parameters() if one.requires_grad]
    optimiser = torch.optim.Adam(weights, lr=_RATE)
    for _ in range(steps):
        loss = -(wanted * net(rows).log_softmax(dim=1)).sum(dim=1).mean()
        gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
        for one, gradient in zip(weights, gradients, strict=True):
            one.grad = gradient
        optimiser.step()
    for one in weights:
        one.grad = None


def _masked(net: nn.Module, coupling: Coupling, gates: Mapping[int, Gate]) -> list[Any]:
    """Hook into a net what gates choose; a layer's inputs are masked before its own gate looks at them."""
    left: dict[int, Tensor] = {}

    def read(position: int, group: Group, name: str) -> Any:
        members = torch.from_numpy(group.members[name, "in"])

        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
            mask = inputs[0].new_zeros(len(inputs[0]), members.numel())
            mask[:, members.flatten()] = left[position].repeat_interleave(members.shape[1], dim=1)
            return (inputs[0] * mask.reshape(*mask.shape, *[1] * (inputs[0].ndim - mask.ndim)),)

        return hook

    def choose(position: int, gate: Gate) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            with torch.no_grad():
                features = pooled(inputs[0], None, inputs[0].shape[1], gate.cells)
                scores = F.linear(features, gate.weight, gate.bias)
                left[position] = torch.zeros_like(scores).scatter(1, scores.topk(gate.keep, dim=1).indices, 1.0)

        return hook

    groups = {position: coupling.groups[position] for position in gates}
    reads = [
        (position, group, name) for position, group in groups.items() for name, side in group.members if side == "in"
    ]
    hooks = [
        net.get_submodule(name).register_forward_pre_hook(read(position, group, name))
        for position, group, name in reads
    ]
    return hooks + [
        net.get_submodule(groups[position].name).register_forward_pre_hook(choose(position, gate))
        for position, gate in gates.items()
    ]
