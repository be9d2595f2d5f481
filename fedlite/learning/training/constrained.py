"""The constraints of a chunk with what each of them keeps while it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compression.constraint.base import Constraint, Received
from fedlite.learning.training.hook_results import check_masks, check_tensors
from fedlite.learning.training.place import Place, to_host
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from fedlite.compression.overlap import Held
    from fedlite.learning.training.records import Array, ClientJob
    from fedlite.learning.training.template import Template


@dataclass(frozen=True)
class Constrained:
    """Constraints and their states, in the order of the plan."""

    pairs: tuple[tuple[Constraint, Any], ...] = ()
    place: Place = field(default_factory=Place, repr=False, compare=False)
    _fits: set[tuple[str, str]] = field(default_factory=set, repr=False, compare=False)
    """Constraints by name, each with a hook that has returned what it should."""

    @property
    def changes_forward(self) -> bool:
        """Whether the forward pass sees other weights than those that are updated."""
        return any(constraint.changes_forward for constraint, _ in self.pairs)

    @property
    def per_sample(self) -> bool:
        """Whether some constraint wants one gradient per sample."""
        return any(constraint.per_sample for constraint, _ in self.pairs)

    def seen(self, parameters: list[Tensor], *, stacked: bool = False) -> list[Tensor]:
        """Return the weights as the forward pass sees them."""
        for constraint, state in self.pairs:
            found = constraint.seen(parameters, state, stacked=stacked)
            parameters = self._tensors(constraint, "seen", found, parameters)
        return parameters

    def gradients(self, gradients: list[Tensor], *, stacked: bool = False) -> list[Tensor]:
        """Return the gradients as the optimiser sees them."""
        each = self.per_sample
        for constraint, state in self.pairs:
            combines = each and constraint.per_sample
            found = constraint.gradients(gradients, state, stacked=stacked)
            gradients = self._tensors(constraint, "gradients", found, gradients, drop=int(combines))
            each = each and not combines
        return gradients

    def after(self, parameters: list[Tensor], *, stacked: bool = False) -> None:
        """Change the weights in place, before the first step and after every step."""
        for constraint, state in self.pairs:
            constraint.after(parameters, state, stacked=stacked)

    def rows(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a client's rows as it trains on them."""
        for constraint, state in self.pairs:
            inputs, labels = constraint.rows(inputs, labels, state)
        return inputs, labels

    def start(self, arrays: Sequence[Array], trainable: Sequence[int]) -> list[Array]:
        """Return what training begins from: the received state with every constraint met."""
        if not self.pairs:
            return list(arrays)
        changed = [self.place.copied(arrays[i]) for i in trainable]
        self.after(changed)
        begun = dict(zip(trainable, map(to_host, changed), strict=True))
        return [begun.get(i, array) for i, array in enumerate(arrays)]

    def seen_state(self, arrays: Sequence[Array], trainable: Sequence[int]) -> list[Array]:
        """Return that start as the forward pass sees it: rounded, binary, whatever a constraint makes of weights."""
        begun = self.start(arrays, trainable)
        if not self.pairs:
            return begun
        found = self.seen([self.place.copied(begun[i]) for i in trainable])
        seen = {i: to_host(tensor.detach()) for i, tensor in zip(trainable, found, strict=True)}
        return [seen.get(i, array) for i, array in enumerate(begun)]

    def held(self, arrays: Sequence[Array], trainable: Sequence[int]) -> Held | None:
        """Return which coordinates of the state the clients hold: those that every constraint leaves them."""
        held: Held = [None] * len(arrays)
        for constraint, state in self.pairs:
            masks = constraint.held(state)
            check_masks(constraint, masks, [np.shape(arrays[i]) for i in trainable])
            for i, mask in zip(trainable, masks or [None] * len(trainable), strict=True):
                known = held[i]
                if mask is not None:
                    held[i] = mask if known is None else known * mask
        return held if any(mask is not None for mask in held) else None

    def memory(self) -> dict[str, Any]:
        """Return what the device keeps of its own constraints."""
        return {
            constraint.name: constraint.remember(state) for constraint, state in self.pairs if constraint.individual
        }

    def _tensors(self, constraint: Constraint, hook: str, found: Any, like: Sequence[Tensor], drop: int = 0) -> Any:
        """Return what a hook returned, once it fits; looked at in the first step only, for it costs in every one."""
        if (constraint.name, hook) not in self._fits:
            check_tensors(constraint, hook, found, [tuple(tensor.shape)[drop:] for tensor in like])
            self._fits.add((constraint.name, hook))
        return found


def constrained(
    constraints: Sequence[Constraint],
    template: Template,
    arrays: Sequence[Array],
    jobs: Sequence[ClientJob],
    round_: int,
) -> Constrained:
    """Let every constraint look at what was received; `individual` ones need a chunk of one job."""
    pairs = []
    for constraint in constraints:
        memory = jobs[0].memory.get(constraint.name, {}) if constraint.individual else {}
        received = Received(
            parameters=[arrays[i] for i in template.trainable],
            names=[template.names[i] for i in template.trainable],
            round_=round_,
            memory=memory,
            rng=stream(jobs[0].seed if jobs else 0, f"local {constraint.name}"),
            device=template.place.device,
        )
        pairs.append((constraint, constraint.init(received)))
    return Constrained(tuple(pairs), template.place)
