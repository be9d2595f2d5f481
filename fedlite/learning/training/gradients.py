"""How the gradients of one step of a tile are found: by torch's autograd, or by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fedlite.learning.objectives import Objective

Step = Callable[[list[Tensor], Tensor, Tensor, Tensor], tuple[list[Tensor], Tensor]]
Forward = Callable[[list[Tensor], Tensor], Tensor]


@dataclass(frozen=True)
class Gradients:
    """The gradients of the mean loss of every client's batch.

    Attributes
    ----------
    step : callable
        From parameters (K, *shape), inputs (K, B, *sample), labels (K, B, ...) and weights (K, B), which are 1 /
        (samples in the batch) or 0 for padding, to the gradients, shaped as the parameters,
        and the sample losses (K, B).
    autograd : bool
        Whether `step` needs torch to record operations.
    """

    step: Step
    autograd: bool


def by_autograd(forward: Forward, objective: Objective) -> Gradients:
    """Return gradients by torch's autograd through a stacked forward pass giving outputs (K, B, ...)."""

    def step(parameters: list[Tensor], inputs: Tensor, labels: Tensor, weights: Tensor) -> tuple[list[Tensor], Tensor]:
        leaves = [parameter.detach().requires_grad_() for parameter in parameters]
        outputs = forward(leaves, inputs)
        targets = objective.targets(inputs.flatten(0, 1), labels.flatten(0, 1))
        losses = objective.losses(outputs.flatten(0, 1), targets).view(weights.shape)
        # The clients' losses are summed: each client's parameters see only its own.
        found = torch.autograd.grad((losses * weights).sum(), leaves, materialize_grads=True)
        return list(found), losses.detach()

    return Gradients(step, autograd=True)
