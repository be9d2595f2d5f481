"""The loss of one client's step and its gradients, with what constraints and terms of a plan make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlite.compression.part import PartError
from fedlite.errors import FedliteError
from fedlite.learning.objectives.cross_entropy import is_torchs_own
from fedlite.learning.objectives.terms.base import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.learning.objectives import Objective
    from fedlite.learning.objectives.terms.base import Term
    from fedlite.learning.training.constrained import Constrained
    from fedlite.learning.training.template import Template


class Loss:
    """What the loaded module is trained for.

    Parameters
    ----------
    template : Template
        The module that is trained in place.
    objective : Objective
    bound : Constrained
    terms : sequence of Term
    """

    def __init__(self, template: Template, objective: Objective, bound: Constrained, terms: Sequence[Term]) -> None:
        self._template = template
        self._objective = objective
        self._bound = bound
        self._terms = terms
        self._names = [template.names[i] for i in template.trainable]
        self._received: list[Tensor] = []
        if bound.per_sample and (terms or len(template.trainable) < len(template.names)):
            raise FedliteError(
                "constraints: got one that needs a gradient per sample with terms, or on a net whose state has buffers"
                " (batch statistics), expected neither; leave the terms out, or use group normalisation"
            )

    def targets(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return what is learned from inputs and labels."""
        return self._objective.targets(inputs, labels)

    def remember_received(self) -> None:
        """Keep the weights as they are now, for terms that compare with them."""
        if self._terms:
            self._received = [parameter.detach().clone() for parameter in self._template.parameters]

    def step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the mean loss of a batch and the gradients of the weights, as the optimiser gets them."""
        parameters = self._template.parameters
        if self._bound.per_sample:
            value, found = self._per_sample(inputs, targets)
        else:
            loss = self._value(inputs, targets)
            value = loss.detach()
            found = list(torch.autograd.grad(loss, parameters, materialize_grads=True))
        with torch.no_grad():
            return value, self._bound.gradients(found)

    def _value(self, inputs: Tensor, targets: Tensor) -> Tensor:
        seen = self._bound.seen(list(self._template.parameters))
        outputs = self._forward(seen, inputs) if self._bound.changes_forward else self._template.model(inputs)
        if not self._terms:
            return self._mean(outputs, targets)
        net = self._template.model
        batch = Batch(inputs, targets, outputs, seen, self._received, self._forward, tuple(self._names), net)
        return self._mean(outputs, targets) + sum(self._term(term, batch) for term in self._terms)

    @staticmethod
    def _term(term: Term, batch: Batch) -> Tensor:
        losses = term.losses(batch)
        if not isinstance(losses, Tensor):
            raise PartError(
                f"term {term.name!r}: got losses of type {type(losses).__name__}, expected a tensor; "
                "compute it with torch"
            )
        if losses.shape not in ((), batch.inputs.shape[:1]):
            raise PartError(
                f"term {term.name!r}: got losses of shape {tuple(losses.shape)}, expected one per sample"
                f" {tuple(batch.inputs.shape[:1])} or one number; sum over the other dimensions"
            )
        return losses.mean()

    def _forward(self, parameters: list[Tensor], inputs: Tensor) -> Tensor:
        values = dict(zip(self._names, parameters, strict=True))
        output = torch.func.functional_call(self._template.model, values, (inputs,))
        assert isinstance(output, Tensor)  # noqa: S101 (narrows torch's Any)
        return output

    def _mean(self, outputs: Tensor, targets: Tensor) -> Tensor:
        # torch adds up the losses of classes in one pass, in an order of its own.
        if is_torchs_own(self._objective):
            return F.cross_entropy(outputs, targets)
        return self._objective.losses(outputs, targets).mean()

    def _per_sample(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the mean loss and one gradient per sample, each (B, *shape)."""

        def one(values: tuple[Tensor, ...], sample: Tensor, target: Tensor) -> Tensor:
            outputs = self._forward(self._bound.seen(list(values)), sample[None])
            return self._objective.losses(outputs, target[None])[0]

        each = torch.func.vmap(torch.func.grad_and_value(one), in_dims=(None, 0, 0), randomness="different")
        plain = tuple(parameter.detach() for parameter in self._template.parameters)
        found, losses = each(plain, inputs, targets)
        return losses.mean(), list(found)
