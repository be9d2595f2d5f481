"""Which execution mode a model gets: a fixed rule on its layers and sizes, never a timing at run time.

The thresholds were chosen from `benchmarks/speed/trainer_modes.py`; changing them changes speed, never results beyond
float tolerance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from fedlite.learning.training.constrained import Constrained
from fedlite.learning.training.forwards import vmap_forward
from fedlite.learning.training.stacked_program import Program, UnsupportedModelError, compile_program

if TYPE_CHECKING:
    from fedlite.learning.training.template import Template

ACTIVATION_BUDGET = 700_000
"""Numbers in the largest activation of a tile: 2.8 MB, beyond which a step leaves the caches and gets slower again."""

ACCELERATOR_BUDGET = 16_000_000
"""The same on an accelerator, which has no such cache but many cores: 64 MB. Not measured; it bounds the memory."""

LARGEST_TILE = 128
"""Clients per tile at most, however small the model."""

LARGEST_ACTIVATION = 6_000
"""Numbers per sample in an activation beyond which convolutions fill a core and company gains nothing any more."""

LARGEST_MODEL = 500_000
"""Parameters beyond which one client's step keeps a core busy by itself and K copies only fill its caches."""


@dataclass(frozen=True)
class Capability:
    """What a model can do side by side.

    Attributes
    ----------
    program : Program or None
        The compiled program, if every layer is known.
    vmap : bool
        Whether `torch.func.vmap` may serve instead.
    reason : str
        Why there is no program; empty if there is.
    widest : int
        Numbers in the largest activation of one sample.
    parameters : int
        Parameters of one client.
    accelerated : bool
        Whether it computes on an accelerator.
    """

    program: Program | None
    vmap: bool
    reason: str
    widest: int
    parameters: int
    accelerated: bool = False


def capability_of(template: Template, input_shape: tuple[int, ...]) -> Capability:
    """Return what the model can do side by side, for samples of `input_shape`."""
    model = template.model
    count = sum(parameter.numel() for parameter in model.parameters())
    accelerated = not template.place.is_host
    reason = _never_side_by_side(template)
    if reason:
        return Capability(None, vmap=False, reason=reason, widest=0, parameters=count)
    try:
        program = compile_program(model)
    except UnsupportedModelError as error:
        refused = _refused_by_vmap(template, input_shape)
        reason = f"{error}; vmap says: {refused}" if refused else str(error)
        widest = math.prod(input_shape)
        return Capability(None, not refused, reason, widest=widest, parameters=count, accelerated=accelerated)
    values = {name: p.detach()[None] for name, p in model.named_parameters()}
    widest = program.widest(torch.zeros(1, 1, *input_shape, device=template.place.device), values)
    return Capability(program, vmap=True, reason="", widest=widest, parameters=count, accelerated=accelerated)


def _never_side_by_side(template: Template) -> str:
    modules = list(template.model.modules())
    if any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in modules):  # noqa: SLF001
        return "dropout draws per client"
    if any(isinstance(module, nn.RNNBase) for module in modules):
        return "recurrent layers loop over time"
    if callable(getattr(template.model, "draw_part", None)):
        return "each step of a client draws what it trains"
    batch_norms = [module for module in modules if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    if any(module.running_mean is None for module in batch_norms):
        return "each batch is normalised by its own statistics"
    parameters = {name for name, _ in template.model.named_parameters()}
    if any(name not in parameters for name in template.names):
        return "its state has buffers, such as batch statistics"
    return ""


def _refused_by_vmap(template: Template, input_shape: tuple[int, ...]) -> str:
    """Return why torch cannot map the model over clients, found by trying one sample of one client; empty if it can."""
    values = [template.parameters[i].detach()[None] for i in range(len(template.parameters))]
    frozen = {
        name: value.detach() for i, (name, value) in enumerate(template.state.items()) if i not in template.trainable
    }
    try:
        with torch.no_grad():
            sample = torch.zeros(1, 1, *input_shape, device=template.place.device)
            vmap_forward(template, frozen, Constrained())(values, sample)
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    return ""


def automatic_mode(capability: Capability, clients: int) -> str:
    """Return "batched" where the rule says that it is faster, else "sequential"."""
    large = capability.parameters > LARGEST_MODEL or capability.widest > LARGEST_ACTIVATION
    return "sequential" if capability.program is None or large or clients == 1 else "batched"


def tile_clients(capability: Capability, batch_size: int) -> int:
    """Return how many clients run together: as many as keep the largest activation within the device's budget."""
    budget = ACCELERATOR_BUDGET if capability.accelerated else ACTIVATION_BUDGET
    return max(1, min(LARGEST_TILE, budget // max(1, capability.widest * batch_size)))
