"""Detection: a net tells for each cell of a grid whether an object has its centre there, its box and its class.

Judged by mean average precision at an overlap of half. `accuracy` and `macro_f1` are those of the class that the net
tells in the cells that hold an object, wherever else it sees objects.

References
----------
Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection", section 2.2 (a weighted sum of errors of
presence, box and class; here logistic, Huber's and cross entropy, summed over the cells of a picture).
Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge" (the metric).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from fedlite.learning.detection.average_precision import mean_average_precision
from fedlite.learning.detection.boxes import kept
from fedlite.learning.detection.grid import BOX, folded, read, read_targets
from fedlite.learning.objectives.base import SHARE, Metric, MisfitError, Objective
from fedlite.learning.objectives.cross_entropy import accuracy, macro_f1

if TYPE_CHECKING:
    from torch import Tensor

    from fedlite.learning.objectives.base import Array

_BOXES: Final = 20.0
"""Weight of the error of a box, whose numbers are below 1; chosen on the packaged scenes."""


class Detection(Objective):
    """Learns boxes and classes.

    Attributes
    ----------
    classes : int
        Of objects; data of more or fewer take a class derived from this one.
    """

    name = "detection"
    metrics = (Metric("map50", "max", SHARE), Metric("accuracy", "max", SHARE), Metric("macro_f1", "max", SHARE))
    cites = ("redmon2016you", "everingham2010pascal")
    classes = 10

    def grid(self, numbers: Tensor) -> Tensor:
        """Return outputs or targets, (N, numbers), as the grid that they are, (N, 5 + classes, S, S)."""
        return folded(numbers, self.classes)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each picture; both are flat grids."""
        import torch.nn.functional as F

        told, wanted = self.grid(outputs), self.grid(targets)
        there = wanted[:, 0]
        presence = F.binary_cross_entropy_with_logits(told[:, 0], there, reduction="none")
        boxes = F.smooth_l1_loss(told[:, 1:BOX].sigmoid(), wanted[:, 1:BOX], reduction="none", beta=0.1).sum(dim=1)
        # Written out: torch's own cross entropy of pictures adds up in another order each time on a GPU.
        classes = -(wanted[:, BOX:] * F.log_softmax(told[:, BOX:], dim=1)).sum(dim=1)
        return (presence + there * (_BOXES * boxes + classes)).sum(dim=(1, 2))

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return what is told and what is there, (N, 2, S * S, 6), in the form of `detection.grid.read`."""
        import torch

        return torch.stack([read(self.grid(outputs)), read_targets(self.grid(targets))], dim=1)

    def summary(self, scores: Array, targets: Array, losses: Array) -> dict[str, float]:
        """Return mean average precision, and accuracy and macro-F1 of the classes of cells that hold an object."""
        told, objects = scores[:, 0], scores[:, 1]
        there = objects[..., 0] > 0
        named, right = told[there][:, 1].astype(int), objects[there][:, 1].astype(int)
        return {
            "map50": mean_average_precision(told, kept(told), objects),
            "accuracy": accuracy(named, right) if len(right) else math.nan,
            "macro_f1": macro_f1(named, right),
        }

    def check(
        self, output_shape: tuple[int, ...], target_shape: tuple[int, ...], target_dtype: str, num_classes: int
    ) -> None:
        """Raise MisfitError unless model and data give a square grid of cells with all of their numbers."""
        numbers = BOX + self.classes
        cells = math.isqrt(math.prod(target_shape) // numbers)
        if len(target_shape) != 1 or target_shape != (numbers * cells**2,) or not target_dtype.startswith("float"):
            raise MisfitError(
                f"objective {self.name!r}: got labels {target_dtype} of shape {target_shape}, expected {numbers} float"
                " numbers for each cell of a square grid; name data of objects, such as 'digit-scenes'"
            )
        if output_shape != target_shape:
            raise MisfitError(
                f"objective {self.name!r}: got a model that gives {output_shape} for targets of shape {target_shape},"
                " expected as many numbers; name a model that gives them, such as 'detector'"
            )
