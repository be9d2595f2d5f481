"""Task-specific distillation of a detector: relations, an expert for each task, each listening to the other.

Of the method TSKD only the summary of a review was known ("relation", "decoupled expert" and "cross-response"
distillation); this is what fedlite makes of these words, and no reproduction:

* relation: distances and angles among the pictures of a batch in the features of a layer, as in
  `relational-distillation`;
* decoupled experts: the teacher's answer is taken apart into its tasks. One expert teaches the classes of a cell (the
  divergence of their probabilities), another its box (Huber's loss of its numbers), each with its own weight; that
  something is there at all is taught in every cell;
* cross-response: each expert counts as much as the other task's answer deserves. The class of a cell is taught where
  the teacher sees an object at all, its box where the teacher is sure of the class as well.

References
----------
Park, Kim, Lu, Cho 2019, "Relational Knowledge Distillation" (relations).
Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network" (soft targets of the classes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from fedlite.compression.part import Effects, PartError
from fedlite.learning.detection.grid import BOX, folded
from fedlite.learning.objectives.terms.base import Batch, Term
from fedlite.learning.objectives.terms.relational_distillation import difference

if TYPE_CHECKING:
    from torch import Tensor

_ANGLES: Final = 2.0
"""How much angles count beside distances, as in `relational-distillation`."""


@dataclass(frozen=True)
class TaskDistillation(Term):
    """What a detector's teacher says of relations, classes and boxes.

    Attributes
    ----------
    layer : str
        Whose features have relations; the outputs if empty.
    relation, labels, boxes : float
        How much relations and the two experts count beside the objective's own loss.
    classes : int
        Of objects.
    teacher_layer : str
        The teacher's, where it is called otherwise.
    """

    name: ClassVar[str] = "task-distillation"
    cites: ClassVar[tuple[str, ...]] = ("park2019relational", "hinton2015distilling")

    layer: str = ""
    relation: float = 1.0
    labels: float = 1.0
    boxes: float = 20.0
    classes: int = 10
    teacher_layer: str = ""

    def __post_init__(self) -> None:
        for key in ("relation", "labels", "boxes"):
            value = getattr(self, key)
            if not (math.isfinite(value) and value >= 0):
                raise PartError(f"{key}: got {value}, expected a finite number, 0 or more; write 0 for none")
        if self.classes < 1:
            raise PartError(f"classes: got {self.classes}, expected 1 or more; write for example 10")

    @property
    def layers(self) -> tuple[str, ...]:
        """The one that is named."""
        return (self.layer,) if self.layer else ()

    @property
    def teacher_layers(self) -> tuple[str, ...]:
        """The one that is named for the teacher, or else for both."""
        return (self.teacher_layer,) if self.teacher_layer else self.layers

    @property
    def effects(self) -> Effects:
        """One more forward pass beside one forward and one backward pass of two, and the teacher in memory."""
        return Effects(step_time=4 / 3, weight_copies=1.0)

    @property
    def label(self) -> str:
        """Such as "tasks 1, 1, 20"."""
        return f"tasks {self.relation:g}, {self.labels:g}, {self.boxes:g}"

    @property
    def remark(self) -> str:
        """What it costs."""
        return "the teacher's forward pass makes training steps slower, and its weights take memory"

    def losses(self, batch: Batch) -> Tensor:
        """Return what relations and experts add to the loss of each picture; sums over its cells, as the objective's.

        Raises
        ------
        PartError
            If the net does not tell a grid of so many classes.
        """
        teacher = batch.teacher.answer
        losses = self._experts(folded(batch.outputs, self.classes), folded(teacher.outputs, self.classes))
        if not self.relation:
            return losses
        ours = batch.features[self.layer] if self.layer else batch.outputs
        theirs = teacher.features[self.teacher_layers[0]] if self.teacher_layers else teacher.outputs
        return losses + self.relation * difference(ours.flatten(1), theirs.flatten(1), 1.0, _ANGLES)

    def _experts(self, told: Tensor, wanted: Tensor) -> Tensor:
        import torch.nn.functional as F

        there = wanted[:, 0].sigmoid()
        sure = wanted[:, BOX:].softmax(dim=1).amax(dim=1)
        presence = F.binary_cross_entropy_with_logits(told[:, 0], there, reduction="none")
        ours, theirs = told[:, BOX:].log_softmax(dim=1), wanted[:, BOX:].log_softmax(dim=1)
        labels = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=1)
        gap = F.smooth_l1_loss(told[:, 1:BOX].sigmoid(), wanted[:, 1:BOX].sigmoid(), reduction="none", beta=0.1).sum(
            dim=1
        )
        cells: Tensor = presence + there * (self.labels * labels + sure * self.boxes * gap)
        return cells.sum(dim=(1, 2))
