"""Stacked forward passes: by the compiled program, or by `torch.func.vmap` for modules that it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fedlite.learning.training.constrained import Constrained
    from fedlite.learning.training.gradients import Forward
    from fedlite.learning.training.stacked_program import Program
    from fedlite.learning.training.template import Template


def program_forward(template: Template, program: Program, frozen: dict[str, Tensor], bound: Constrained) -> Forward:
    """Return the program as a function of the trainable parameters; `frozen` has one client's other parameters."""

    def forward(parameters: list[Tensor], inputs: Tensor) -> Tensor:
        return program(_named(template, parameters, frozen, bound), inputs)

    return forward


def vmap_forward(template: Template, frozen: dict[str, Tensor], bound: Constrained) -> Forward:
    """Return the module mapped over clients: slower per step than a program, but for any module without buffers."""

    def one(values: dict[str, Tensor], inputs: Tensor) -> Tensor:
        output = torch.func.functional_call(template.model, values, (inputs,))
        assert isinstance(output, Tensor)  # noqa: S101 (narrows torch's Any)
        return output

    mapped = torch.func.vmap(one)

    def forward(parameters: list[Tensor], inputs: Tensor) -> Tensor:
        logits = mapped(_named(template, parameters, frozen, bound), inputs)
        assert isinstance(logits, Tensor)  # noqa: S101 (narrows torch's Any)
        return logits

    return forward


def _named(
    template: Template, parameters: list[Tensor], frozen: dict[str, Tensor], bound: Constrained
) -> dict[str, Tensor]:
    clients = parameters[0].shape[0]
    values = {name: tensor.expand(clients, *tensor.shape) for name, tensor in frozen.items()}
    used = bound.seen(parameters, stacked=True)
    values.update({template.names[i]: parameter for i, parameter in zip(template.trainable, used, strict=True)})
    return values
