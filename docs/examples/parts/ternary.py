"""A constraint: every forward pass sees weights of three values, -s, 0 and s; the gradient passes straight through.

Source: Li, Zhang, Liu 2016, "Ternary weight networks", section 2 (threshold 0.7 of the mean magnitude).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import Effects, PartError


@dataclass(frozen=True)
class Ternary(Constraint):
    """Weights of matrices and kernels whose magnitude is below the threshold count as zero, the others as one size."""

    name: ClassVar[str] = "ternary"
    cites: ClassVar[tuple[str, ...]] = ("@misc{li2016ternary, title = {Ternary weight networks}}",)

    threshold: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise PartError(f"threshold: got {self.threshold}, expected above 0 and below 1; the paper has 0.7")

    @property
    def effects(self) -> Effects:
        """The values seen and their zeros beside the weights; twice the step is assumed, as of other such training."""
        return Effects(step_time=2.0, weight_copies=2.0)

    @property
    def label(self) -> str:
        """Such as "ternary 0.7"."""
        return f"ternary {self.threshold:g}"

    @property
    def remark(self) -> str:
        """What it does not save."""
        return "steps are slower, not faster: no engine here multiplies three-valued weights"

    def seen(self, parameters: list[Tensor], state: Any, *, stacked: bool) -> list[Tensor]:
        """Return the three-valued weights; a leading dimension of clients, if there is one, has its own values."""
        return [self._seen(weight, stacked) if weight.ndim >= 2 + stacked else weight for weight in parameters]

    def _seen(self, weight: Tensor, stacked: bool) -> Tensor:  # noqa: FBT001
        fixed, axes = weight.detach(), tuple(range(int(stacked), weight.ndim))
        size = fixed.abs()
        kept = size > self.threshold * size.mean(dim=axes, keepdim=True)
        scale = (size * kept).sum(dim=axes, keepdim=True) / kept.sum(dim=axes, keepdim=True).clamp(min=1)
        return torch.where(kept, fixed.sign() * scale, 0.0) + (weight - fixed)
