"""What a term of the loss may look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedlite.compression.part import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    from fedlite.learning.objectives.terms.answers import Teacher


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
    features : mapping
        Name of a layer -> its output (B, ...) in the pass that gave `outputs`, of the layers that terms ask for.
    teacher : Teacher
        The model that came down, asked about the same inputs; or the larger one that a server lets it learn from.
    helper : nn.Module, optional
        What the term's own `helper` returned.
    """

    inputs: Tensor
    targets: Tensor
    outputs: Tensor
    parameters: list[Tensor]
    received: list[Tensor]
    forward: Callable[[list[Tensor], Tensor], Tensor]
    names: tuple[str, ...]
    net: nn.Module
    features: Mapping[str, Tensor]
    teacher: Teacher
    helper: nn.Module | None = None


@dataclass(frozen=True)
class Term(Part, ABC):
    """Added to the loss of every sample. A plan with terms is trained client by client."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the net's layers whose features it looks at."""
        return ()

    @property
    def teacher_layers(self) -> tuple[str, ...]:
        """Names of the teacher's layers whose features it looks at; those of the net if not said otherwise."""
        return self.layers

    def helper(self, batch: Batch) -> nn.Module | None:
        """Return a module that is trained beside the net and thrown away with the job; asked before the first step."""
        del batch
        return None

    @abstractmethod
    def losses(self, batch: Batch) -> Tensor:
        """Return what is added to the loss of each sample, shape (B,), or one number for all, shape ()."""
