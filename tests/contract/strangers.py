"""Parts that a user of fedlite might write, outside its tables: each kind's battery is run on them as well.

They are found as `strangers:Class`, as a scenario would name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import nn

from fedlite.client.stages.base import Applied, Stage, is_float
from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import Effects, PartError
from fedlite.compression.structure.base import Structure
from fedlite.learning.objectives.terms.base import Term

if TYPE_CHECKING:
    from fedlite.compression.structure.base import NetSpec


# --- structures ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Headless(Structure):
    """A net without the last layers of the full one, which nobody then trains on the device."""

    name: ClassVar[str] = "headless"
    dropped: int = 1

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the full net whose last layers with weights pass what they get."""
        net = spec.build()
        children = [name for name, child in net.named_children() if list(child.parameters())]
        for name in children[len(children) - self.dropped :]:
            setattr(net, name, nn.Identity())
        return net

    def place(self, spec, full):
        """Return that the tensors are the first of the full model."""
        return Head(list(full), len(self.build(spec).state_dict()))


@dataclass(frozen=True)
class Head:
    """The first `count` tensors."""

    full: list
    count: int

    def take(self):
        """Return them."""
        return self.full[: self.count]

    def add(self, total, sums, weight, held=None):
        """Add them; of the others these clients hold nothing."""
        rest = self.full[self.count :]
        empty = [(np.False_,)] * len(rest)  # takes nothing of any tensor, scalars included
        nothing = [np.zeros((0, *tensor.shape)) for tensor in rest]
        maps = [(slice(None),) * tensor.ndim for tensor in self.full[: self.count]] + empty
        known = None if held is None else [*held, *[None] * len(rest)]
        total.add([*sums, *nothing], weight, maps, known)


@dataclass(frozen=True)
class Squared(Structure):
    """Trains the signed square roots of the weights: the sum of two clients' nets is not the sum of their models."""

    name: ClassVar[str] = "squared"
    linear: ClassVar[bool] = False

    def build(self, spec: NetSpec) -> nn.Module:
        """Return the full net."""
        return spec.build()

    def place(self, spec, full):
        """Return how values go there and back."""
        return Roots(list(full))


@dataclass(frozen=True)
class Roots:
    """Signed square roots of the full model."""

    full: list

    def take(self):
        """Return the roots."""
        return [np.sign(a) * np.sqrt(np.abs(a)) if is_float(a) else a for a in self.full]

    def add(self, total, sums, weight, held=None):
        """Add one client: its mean, squared, times its weight."""
        squared = [
            values * np.abs(values) / weight if is_float(was) else values
            for values, was in zip(sums, self.full, strict=True)
        ]
        total.add(squared, weight, held=held)


# --- constraints -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counting(Constraint):
    """Counts the jobs of each device, and moves its weights by a random amount once per job."""

    name: ClassVar[str] = "counting"
    individual: ClassVar[bool] = True
    std: float = 0.01

    def init(self, received):
        """Return the number of this job and the device's own random shift, not yet applied."""
        jobs = int(received.memory.get("jobs", np.zeros(1))[0]) + 1
        shift = [received.rng.normal(0, self.std, array.shape).astype(np.float32) for array in received.parameters]
        return {"jobs": jobs, "shift": [torch.from_numpy(array) for array in shift]}

    def gradients(self, gradients, state, *, stacked):
        """Return the gradients with the shift."""
        return [gradient + shift for gradient, shift in zip(gradients, state["shift"], strict=True)]

    def remember(self, state):
        """Return the count."""
        return {"jobs": np.array([state["jobs"]])}


@dataclass(frozen=True)
class ClipSamples(Constraint):
    """Each sample's gradient is scaled to at most a norm before the mean is taken, as DP-SGD does (Abadi 2016)."""

    name: ClassVar[str] = "clip-samples"
    per_sample: ClassVar[bool] = True
    norm: float = 0.1

    @property
    def effects(self) -> Effects:
        """A gradient per sample takes time."""
        return Effects(step_time=2.0, weight_copies=1.0)

    def gradients(self, gradients, state, *, stacked):
        """Return the mean of the scaled gradients."""
        squares = sum(gradient.flatten(1).square().sum(dim=1) for gradient in gradients)
        scale = (self.norm / squares.sqrt().clamp_min(1e-12)).clamp_max(1.0)
        return [(gradient * scale.view(-1, *[1] * (gradient.dim() - 1))).mean(dim=0) for gradient in gradients]


@dataclass(frozen=True)
class Box(Constraint):
    """Weights stay between -size and size; a constraint that also runs side by side."""

    name: ClassVar[str] = "box"
    size: float = 0.05

    def __post_init__(self):
        if not self.size > 0:
            raise PartError(f"size: got {self.size}, expected above 0; write 1.0")

    def after(self, parameters, state, *, stacked):
        """Clamp in place."""
        for parameter in parameters:
            parameter.clamp_(-self.size, self.size)


@dataclass(frozen=True)
class Damped(Constraint):
    """Gradients are scaled down; a constraint on gradients that also runs side by side."""

    name: ClassVar[str] = "damped"
    share: float = 0.5

    def gradients(self, gradients, state, *, stacked):
        """Return the share."""
        return [self.share * gradient for gradient in gradients]


# --- terms -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Anchor(Term):
    """A proximal term on the first weights only: one number for the whole batch."""

    name: ClassVar[str] = "anchor"
    mu: float = 1.0

    def losses(self, batch):
        """Return mu / 2 times the squared distance of the first parameter from what was received."""
        return self.mu / 2 * (batch.parameters[0] - batch.received[0]).square().sum()


# --- stages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Half(Stage):
    """Sends half of what the device owes, with a little dither, and keeps the rest for later."""

    name: ClassVar[str] = "half"
    remembers: ClassVar[bool] = True
    dither: float = 0.01

    def apply(self, update, job):
        """Return half of the update and of the rest, dithered."""
        owed = [
            part + rest if rest.size else part
            for part, rest in zip(update, self._rest(update, job.memory), strict=True)
        ]
        half = [
            part / 2 + job.rng.normal(0, self.dither, part.shape).astype(part.dtype) if is_float(part) else part
            for part in owed
        ]
        kept = [np.ravel(part - out) for part, out in zip(owed, half, strict=True) if is_float(part)]
        return Applied(half, {"rest": np.concatenate(kept)}, {"sent": 0.5})

    def sent(self, update, decoded, memory):
        """Return the rest with what the codec lost."""
        return {"rest": memory["rest"] + _flat(update) - _flat(decoded)}

    def lost(self, decoded, memory):
        """Return the rest with all that was lost."""
        return {"rest": memory["rest"] + _flat(decoded)}

    def _rest(self, update, memory):
        sizes = [part.size if is_float(part) else 0 for part in update]
        flat = memory.get("rest", np.zeros(sum(sizes), np.float32))
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return [
            rest.reshape(part.shape).astype(part.dtype) if rest.size else rest
            for rest, part in zip(parts, update, strict=True)
        ]


def _flat(update):
    return np.concatenate([np.ravel(part).astype(np.float32) for part in update if is_float(part)])
