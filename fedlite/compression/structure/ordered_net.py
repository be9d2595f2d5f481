"""The net of ordered dropout: the widest one, of which a slice runs in each step of training, or in every test.

It shows what a net may say of itself to be trained in parts: `draw_part` is called before every step with a stream of
the job's, `own_losses` are added to the losses of samples, and `step_nets` are traced for the price of a step.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.overlap import IndexMap

FORWARD_SHARE: Final = 1 / 3
"""Of a training step, which runs one forward pass and a backward pass of two."""


class OrderedNet(nn.Module):
    """A net that trains one of its slices at a time; the trainer asks it to `draw_part` before every step.

    Parameters
    ----------
    widest : nn.Module
    narrower : sequence of (module, maps)
        Nets of the same architecture, and where their tensors lie in those of the widest. Only their form is used.
    shares : sequence of float
        Of the narrower nets and of the widest, rising.
    distillation, temperature : float
        As in `Ordered`.
    """

    def __init__(
        self,
        widest: nn.Module,
        narrower: Sequence[tuple[nn.Module, Sequence[IndexMap]]],
        shares: Sequence[float],
        distillation: float,
        temperature: float,
    ) -> None:
        super().__init__()
        self.net = widest
        # In a tuple, modules are no submodules: the state is that of the widest net.
        self._narrower = tuple((net, [_as_tensors(index) for index in maps]) for net, maps in narrower)
        self.shares = tuple(shares)
        self._distillation, self._temperature = distillation, temperature
        self._drawn: int | None = None
        self._shown: int | None = None
        self._taught: Tensor | None = None

    def draw_part(self, rng: np.random.Generator) -> None:
        """Draw what the next step trains."""
        drawn = int(rng.integers(len(self._narrower) + 1))
        self._drawn = drawn if drawn < len(self._narrower) else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers of the drawn slice in training, of the widest net or what `at` asked for otherwise."""
        self._taught = None
        if not self.training and self._shown is not None:
            return self._slice(self._shown, x)
        if self._drawn is None or not self.training:
            widest: Tensor = self.net(x)
            return widest
        if self._distillation:
            with torch.no_grad():
                self._taught = self.net(x)
        return self._slice(self._drawn, x)

    def _slice(self, place: int, x: Tensor) -> Tensor:
        net, _ = self._narrower[place]
        answers: Tensor = torch.func.functional_call(net.train(self.training), self._part(place), (x,))
        return answers

    def _part(self, place: int) -> dict[str, Tensor]:
        """Return the tensors of a slice: those of the widest net now, also where a constraint has put others there."""
        whole = self.net.state_dict(keep_vars=True)
        return {
            name: tensor[index] for (name, tensor), index in zip(whole.items(), self._narrower[place][1], strict=True)
        }

    def at(self, share: float) -> OrderedNet:
        """Return a copy with the same state, whose answers in evaluation are those of one of the `shares`."""
        place = self.shares.index(share)
        made = copy.deepcopy(self)
        made._shown = place if place < len(self._narrower) else None  # noqa: SLF001 - of its own kind
        return made

    def width(self, share: float) -> nn.Module:
        """Return the net of one of the `shares` by itself, with its part of the values as they are now."""
        place = self.shares.index(share)
        if place == len(self._narrower):
            return copy.deepcopy(self.net)
        made = copy.deepcopy(self._narrower[place][0])
        made.load_state_dict(self._part(place))
        return made

    def own_losses(self, outputs: Tensor) -> Tensor:
        """Return weight * T^2 * KL(widest || drawn) of each sample, 0 where the widest itself was drawn."""
        if self._taught is None:
            return outputs.new_zeros(len(outputs))
        teacher = F.log_softmax(self._taught.flatten(1) / self._temperature, dim=1)
        student = F.log_softmax(outputs.flatten(1) / self._temperature, dim=1)
        divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
        return self._distillation * self._temperature**2 * divergence

    def step_nets(self) -> list[tuple[float, nn.Module]]:
        """Return the nets that steps train and how often, on average; a teacher's forward pass is a part of a step."""
        often = 1 / (len(self._narrower) + 1)
        taught = FORWARD_SHARE * (1 - often) if self._distillation else 0.0
        return [*((often, net) for net, _ in self._narrower), (often + taught, self.net)]


def _as_tensors(index: IndexMap) -> tuple[slice | Tensor, ...]:
    return tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in index)  # type: ignore[misc]
