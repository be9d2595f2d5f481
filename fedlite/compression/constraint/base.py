"""What a constraint may do to local training: look at what was received, and stand between weights and arithmetic.

Every hook does nothing unless a constraint overrides it. Parameters and gradients are those that training changes, in
the order of the state dict. In cohort-batched training every tensor has a leading dimension of clients (`stacked`);
constraints that are `individual` or `per_sample` are trained client by client and never see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from fedlite.compression.part import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from torch import Tensor

Array = NDArray[Any]
Memory = Mapping[str, Array]
"""What a part keeps on a device between its jobs: numpy arrays of numbers by name."""


@dataclass(frozen=True)
class Received:
    """What a constraint begins from.

    Attributes
    ----------
    parameters : sequence of float arrays
        What training will change, as it came down.
    names : sequence of str
        Their keys in the state dict.
    round_ : int
        The server's round.
    memory : mapping
        What this part kept on this device; empty unless the constraint is `individual`.
    rng : Generator
        Randomness of this part in this job; in the whole chunk of jobs unless the constraint is `individual`.
    device : torch.device or str
        Where training computes: tensors that a hook mixes with weights must be there.
    """

    parameters: Sequence[Array]
    names: Sequence[str]
    round_: int
    memory: Memory
    rng: np.random.Generator
    device: torch.device | str = "cpu"


@dataclass(frozen=True)
class Constraint(Part):
    """What holds of the weights while they are trained. A job's `state` is whatever `init` returned."""

    individual: ClassVar[bool] = False
    """Whether every job has a state of its own (its device's memory, its own random numbers)."""
    per_sample: ClassVar[bool] = False
    """Whether `gradients` gets one gradient per sample, (B, *shape), and returns their combination."""

    def init(self, received: Received) -> Any:
        """Return the state for a job, or for all jobs of a chunk."""
        return None

    def held(self, state: Any) -> list[Array | None] | None:
        """Return per parameter 1 where the client holds the weight and 0 where it keeps it at zero; None if it has all.

        A server averages a weight over the clients that hold it.
        """
        return None

    def seen(self, parameters: list[Tensor], state: Any, *, stacked: bool) -> list[Tensor]:
        """Return the weights as the forward pass sees them, differentiable."""
        return parameters

    def gradients(self, gradients: list[Tensor], state: Any, *, stacked: bool) -> list[Tensor]:
        """Return the gradients as the optimiser sees them."""
        return gradients

    def after(self, parameters: list[Tensor], state: Any, *, stacked: bool) -> None:
        """Change the weights in place: once before the first step, and after every step."""

    def rows(self, inputs: Tensor, labels: Tensor, state: Any) -> tuple[Tensor, Tensor]:
        """Return the client's rows (N, ...) as it trains on them; a client that is no honest one may change them."""
        return inputs, labels

    def remember(self, state: Any) -> Memory:
        """Return what the device keeps until its next job; only `individual` constraints are asked."""
        return {}

    @property
    def keeps_memory(self) -> bool:
        """An `individual` one does."""
        return self.individual

    @property
    def one_by_one(self) -> bool:
        """Whether clients with this constraint cannot be trained side by side."""
        return self.individual or self.per_sample or type(self).rows is not Constraint.rows

    @property
    def changes_forward(self) -> bool:
        """Whether `seen` is overridden, so that a backward pass written for plain weights does not fit."""
        return type(self).seen is not Constraint.seen
