"""A term: outputs that are too sure of themselves cost something, their entropy is rewarded.

Source: Pereyra et al. 2017, "Regularizing neural networks by penalizing confident output distributions", equation 2.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from fedlite.compression.part import PartError
from fedlite.learning.objectives.terms.base import Batch, Term


@dataclass(frozen=True)
class ConfidencePenalty(Term):
    """Minus `weight` times the entropy of the classes that the net believes in."""

    name: ClassVar[str] = "confidence-penalty"
    cites: ClassVar[tuple[str, ...]] = ("@misc{pereyra2017, title = {Penalizing confident output distributions}}",)

    weight: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise PartError(f"weight: got {self.weight}, expected a number above 0; leave the term out for none")

    @property
    def label(self) -> str:
        """Such as "confidence penalty 0.1"."""
        return f"confidence penalty {self.weight:g}"

    @property
    def remark(self) -> str:
        """What it costs."""
        return "one more look at the outputs: neither time nor memory worth counting"

    def losses(self, batch: Batch) -> Tensor:
        """Return the sum of p log p per sample, times the weight."""
        logs = F.log_softmax(batch.outputs.flatten(1), dim=1)
        return self.weight * (logs.exp() * logs).sum(dim=1)
