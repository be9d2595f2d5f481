"""What a term of the loss may look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedlite.compression.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """One batch of one client in the middle of its training.

    Attributes
    ----------
    inputs, targets, outputs : Tensor
        (B, ...): what went in, what is wanted, what the net says of it.
    parameters : list of Tensor
        The weights as they are now, as the forward pass sees them.
    received : list of Tensor
        The same weights as they came down; constants.
    forward : callable
        (parameters, inputs) -> outputs of the net.
    names : tuple of str
        Of the weights, in their order.
    net : nn.Module
        The net, for terms that ask how its layers hang together; its weights are `parameters`, not its own.
    """

    inputs: Tensor
    targets: Tensor
    outputs: Tensor
    parameters: list[Tensor]
    received: list[Tensor]
    forward: Callable[[list[Tensor], Tensor], Tensor]
    names: tuple[str, ...]
    net: nn.Module


@dataclass(frozen=True)
class Term(Part, ABC):
    """Added to the loss of every sample. A plan with terms is trained client by client."""

    @abstractmethod
    def losses(self, batch: Batch) -> Tensor:
        """Return what is added to the loss of each sample, shape (B,), or one number for all, shape ()."""
