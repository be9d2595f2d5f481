"""Distillation from the received model: a device learns from its labels without forgetting what the server knew.

References
----------
Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2 (soft targets, temperature).
Yao et al. 2021, "Local-Global Knowledge Distillation in Heterogeneous Federated Learning with Non-IID Data" (the global
model as the teacher of each client).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fedlite.compression.part import Effects, PartError
from fedlite.learning.objectives.terms.base import Batch, Term

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Distillation(Term):
    """The divergence of the net's softened outputs from those of the model that was received.

    Attributes
    ----------
    weight : float
        How much it counts beside the objective's own loss.
    temperature : float
        Softens both sides; the term is multiplied by its square, so that gradients keep their size.
    """

    name: ClassVar[str] = "distillation"
    cites: ClassVar[tuple[str, ...]] = ("hinton2015distilling", "yao2021local")

    weight: float = 1.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        for key in ("weight", "temperature"):
            value = getattr(self, key)
            if not (math.isfinite(value) and value > 0):
                raise PartError(f"{key}: got {value}, expected a finite number above 0; leave the term out for none")

    @property
    def effects(self) -> Effects:
        """One more forward pass beside one forward and one backward pass of two, and the teacher in memory."""
        return Effects(step_time=4 / 3, weight_copies=1.0)

    @property
    def label(self) -> str:
        """Such as "distillation 1"."""
        return f"distillation {self.weight:g}"

    @property
    def remark(self) -> str:
        """What it costs."""
        return "the teacher's forward pass makes training steps slower, and its weights take memory"

    def losses(self, batch: Batch) -> Tensor:
        """Return weight * T^2 * KL(teacher || student) per sample."""
        import torch.nn.functional as F

        teacher = F.log_softmax(batch.teacher.answer.outputs.flatten(1) / self.temperature, dim=1)
        student = F.log_softmax(batch.outputs.flatten(1) / self.temperature, dim=1)
        divergence = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
        return self.weight * self.temperature**2 * divergence
