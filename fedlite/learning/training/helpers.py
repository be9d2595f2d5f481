"""Modules that terms of the loss have trained beside the net: made for a job, thrown away with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fedlite.learning.training.constrained import Constrained
from fedlite.learning.training.optimiser import Optimiser

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fedlite.learning.objectives.terms.base import Batch, Term
    from fedlite.learning.training.records import LocalConfig


class Helpers:
    """The helpers of a job's terms and the state of their optimiser.

    Parameters
    ----------
    config : LocalConfig
        By which they are trained, as the net is, but without its proximal term.
    """

    def __init__(self, config: LocalConfig) -> None:
        self._config = replace(config, proximal_mu=0.0)
        self._modules: dict[str, nn.Module | None] = {}
        self._optimiser: Optimiser | None = None

    def of(self, term: Term, batch: Batch) -> nn.Module | None:
        """Return the helper of a term, made when it is first asked for."""
        if term.name not in self._modules:
            made = term.helper(batch)
            self._modules[term.name] = None if made is None else made.to(batch.inputs.device)
        return self._modules[term.name]

    @property
    def parameters(self) -> list[Tensor]:
        """The weights of all helpers that there are."""
        return [one for module in self._modules.values() if module is not None for one in module.parameters()]

    def step(self, gradients: list[Tensor]) -> None:
        """Change the weights in place."""
        if self._optimiser is None:
            self._optimiser = Optimiser(self._config, [one.detach() for one in self.parameters], Constrained())
        self._optimiser.step(gradients)
