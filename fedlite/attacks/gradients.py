"""The gradient that a guessed batch would have caused: what optimisation attacks compare with the one that was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of logits (B, classes) against labels: (B,) classes or (B, classes) probabilities."""


@dataclass(frozen=True)
class Seen:
    """What the adversary has: the net as it was, and the gradient that a client told.

    Attributes
    ----------
    net : nn.Module
    gradient : sequence of Tensor
        One per parameter of the net, in its order; of an SGD step, minus the update over the learning rate.
    loss : callable
    """

    net: nn.Module
    gradient: Sequence[Tensor]
    loss: Loss = nn.functional.cross_entropy

    def of(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """Return the gradient that a batch would cause, which can itself be derived by x and y."""
        parameters = list(self.net.parameters())
        return list(torch.autograd.grad(self.loss(self.net(x), y), parameters, create_graph=True))

    def squared_distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the squared Euclidean distance to what was seen."""
        pairs = zip(self.of(x, y), self.gradient, strict=True)
        return torch.stack([(own - seen).square().sum() for own, seen in pairs]).sum()

    def cosine_distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return one minus the cosine of the angle to what was seen, over all parameters at once."""
        own = torch.cat([part.flatten() for part in self.of(x, y)])
        seen = torch.cat([part.flatten() for part in self.gradient])
        cosine: Tensor = torch.dot(own, seen) / (own.norm() * seen.norm()).clamp_min(1e-30)
        return 1.0 - cosine
