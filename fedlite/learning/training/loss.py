"""The loss of one client's step and its gradients, with what constraints and terms of a plan make of them."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from fedlite.compression.part import PartError
from fedlite.errors import FedliteError
from fedlite.learning.objectives.cross_entropy import is_torchs_own
from fedlite.learning.objectives.terms.answers import Teacher, Watch
from fedlite.learning.objectives.terms.base import Batch
from fedlite.learning.training.helpers import Helpers
from fedlite.learning.training.records import LocalConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

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
    config : LocalConfig, optional
        By which helpers of terms are trained.
    teacher : nn.Module, optional
        What terms learn from, ready to answer; the model that was received if not given.

    Raises
    ------
    PartError
        If a term looks at a layer that the net or the teacher has not.
    """

    def __init__(
        self,
        template: Template,
        objective: Objective,
        bound: Constrained,
        terms: Sequence[Term],
        config: LocalConfig | None = None,
        teacher: nn.Module | None = None,
    ) -> None:
        self._template = template
        self._objective = objective
        self._bound = bound
        self._terms = terms
        self._helpers = Helpers(config or LocalConfig())
        self._given = teacher
        self._teacher_layers = tuple(dict.fromkeys(name for term in terms for name in term.teacher_layers))
        if terms:
            self._watch = Watch(template.model, tuple(dict.fromkeys(name for term in terms for name in term.layers)))
            Watch(template.model if teacher is None else teacher, self._teacher_layers)
        self._names = [template.names[i] for i in template.trainable]
        self._state: list[Tensor] = []
        self._own: Callable[[Tensor], Tensor] | None = getattr(template.model, "own_losses", None)
        """What a net adds to the loss of each sample by itself, given its outputs."""
        if bound.per_sample and (terms or self._own or len(template.trainable) < len(template.names)):
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
            self._state = [value.detach().clone() for value in self._template.state.values()]

    @cached_property
    def _received(self) -> list[Tensor]:
        return [self._state[i] for i in self._template.trainable]

    @cached_property
    def _teacher(self) -> nn.Module:
        """What terms learn from: the received model in a net of its own, for the other one's statistics move."""
        if self._given is not None:
            return self._given
        net = copy.deepcopy(self._template.model).eval().requires_grad_(requires_grad=False)
        with torch.no_grad():
            for target, value in zip(net.state_dict().values(), self._state, strict=True):
                target.copy_(value)
        return net

    def step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the mean loss of a batch and the gradients of the weights, as the optimiser gets them."""
        parameters = self._template.parameters
        if self._bound.per_sample:
            value, found = self._per_sample(inputs, targets)
        else:
            loss = self._value(inputs, targets)
            value = loss.detach()
            helpers = self._helpers.parameters
            found = list(torch.autograd.grad(loss, [*parameters, *helpers], materialize_grads=True))
            if helpers:
                with torch.no_grad():
                    self._helpers.step(found[len(parameters) :])
                found = found[: len(parameters)]
        with torch.no_grad():
            return value, self._bound.gradients(found)

    def _value(self, inputs: Tensor, targets: Tensor) -> Tensor:
        seen = self._bound.seen(list(self._template.parameters))

        def answer() -> Tensor:
            return self._forward(seen, inputs) if self._bound.changes_forward else self._template.model(inputs)

        if not self._terms:
            return self._with_own(answer(), targets)
        said = self._watch.answer(answer)
        teacher = Teacher(lambda: self._teacher, self._teacher_layers, inputs)
        batch = Batch(
            inputs, targets, said.outputs, seen, self._received, self._forward, tuple(self._names),
            self._template.model, said.features, teacher,
        )  # fmt: skip
        return self._with_own(said.outputs, targets) + sum(self._term(term, batch) for term in self._terms)

    def _with_own(self, outputs: Tensor, targets: Tensor) -> Tensor:
        value = self._mean(outputs, targets)
        return value if self._own is None else value + self._own(outputs).mean()

    def _term(self, term: Term, batch: Batch) -> Tensor:
        losses = term.losses(replace(batch, helper=self._helpers.of(term, batch)))
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
