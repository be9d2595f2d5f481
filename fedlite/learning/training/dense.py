"""Multilayer perceptrons without autograd: the backward pass of K clients in a handful of batched matrix products.

At these sizes a step takes half a millisecond, of which autograd's bookkeeping would be a third.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlite.learning.training.gradients import Gradients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.learning.training.stacked_program import Program


def dense_chain(program: Program, names: Sequence[str]) -> int | None:
    """Return the number of linear layers if the program is Linear-ReLU-...-Linear with biases, else None.

    The parameters, called `names`, must be those of the layers in order of execution.
    """
    sources = [step.sources for step in program.instructions]
    targets = [step.target for step in program.instructions]
    if any(source != (target,) for target, source in zip(targets, sources[1:], strict=False)):
        return None
    layers = [layer for layer in program.layers if not isinstance(layer, nn.Flatten | nn.Identity)]
    if len(program.layers) != len(program.instructions) or len(layers) % 2 == 0:
        return None
    linear, activations = layers[::2], layers[1::2]
    if not all(isinstance(layer, nn.Linear) and layer.bias is not None for layer in linear):
        return None
    if not all(isinstance(layer, nn.ReLU) for layer in activations):
        return None
    used = [step.prefix for step in program.instructions if isinstance(step.layer, nn.Linear)]
    if [f"{prefix}.{kind}" for prefix in used for kind in ("weight", "bias")] != list(names):
        return None
    fits = all(first.out_features == second.in_features for first, second in pairwise(linear))
    return len(linear) if fits else None


def dense_gradients(depth: int) -> Gradients:
    """Return the gradients of a perceptron of `depth` linear layers; its parameters are weight, bias, weight, ..."""

    def step(parameters: list[Tensor], inputs: Tensor, labels: Tensor, weights: Tensor) -> tuple[list[Tensor], Tensor]:
        activations = [inputs.flatten(2)]
        for i in range(depth):
            out = torch.baddbmm(parameters[2 * i + 1].unsqueeze(1), activations[-1], parameters[2 * i].transpose(1, 2))
            activations.append(out.clamp_min_(0) if i < depth - 1 else out)
        log_probabilities = F.log_softmax(activations[-1], dim=2)
        label = labels.unsqueeze(2)
        losses = -log_probabilities.gather(2, label).squeeze(2)
        # d loss / d logits = (softmax - one-hot) * weight
        delta = log_probabilities.exp_().mul_(weights.unsqueeze(2)).scatter_add_(2, label, -weights.unsqueeze(2))
        found: list[Tensor] = []
        for i in reversed(range(depth)):
            found += [delta.sum(dim=1), torch.bmm(delta.transpose(1, 2), activations[i])]
            if i:
                delta = torch.ops.aten.threshold_backward(torch.bmm(delta, parameters[2 * i]), activations[i], 0)
        return found[::-1], losses

    return Gradients(step, autograd=False)
