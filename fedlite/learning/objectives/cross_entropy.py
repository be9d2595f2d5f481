"""Cross entropy over classes: the model gives one score (logit) for each class, and the right one should be highest.

References
----------
Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlite.learning.objectives.base import SHARE, Metric, MisfitError, Objective

if TYPE_CHECKING:
    from torch import Tensor

    from fedlite.learning.objectives.base import Array


class CrossEntropy(Objective):
    """Learns classes; judged by the share of samples whose highest logit is their class."""

    name = "cross-entropy"
    metrics: tuple[Metric, ...] = (Metric("accuracy", "max", SHARE), Metric("macro_f1", "max", SHARE))
    cites = ("bridle1990probabilistic",)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return minus the logarithm of each right class's probability; logits (N, classes), classes (N,)."""
        import torch.nn.functional as F  # here, so that a scenario is checked without torch

        return F.cross_entropy(outputs, targets, reduction="none")

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the predicted class of each sample."""
        return outputs.argmax(dim=1)

    def summary(self, scores: Array, targets: Array, losses: Array) -> dict[str, float]:
        """Return accuracy and macro-F1."""
        return {"accuracy": accuracy(scores, targets), "macro_f1": macro_f1(scores, targets)}

    def check(
        self, output_shape: tuple[int, ...], target_shape: tuple[int, ...], target_dtype: str, num_classes: int
    ) -> None:
        """Raise MisfitError unless there is one class per sample and one logit per class."""
        if target_shape or not target_dtype.startswith("int"):
            raise MisfitError(
                f"objective {self.name!r}: got labels {target_dtype} of shape {target_shape}, expected one class per "
                "sample; write 'objective: regression' or name an objective of your own"
            )
        if output_shape != (num_classes,):
            raise MisfitError(
                f"objective {self.name!r}: got a model that gives {output_shape} for a sample, expected "
                f"({num_classes},), a score for each class; name a model that gives those, or write "
                "'objective: reconstruction' if its output is its input again"
            )


def is_torchs_own(objective: Objective) -> bool:
    """Return whether an objective's losses are torch's cross entropy itself, whose mean and slope have short cuts.

    A class derived from it may have another loss, so that its type alone does not tell.
    """
    kind = type(objective)
    return kind.losses is CrossEntropy.losses and kind.targets is Objective.targets


def accuracy(predicted: Array, classes: Array) -> float:
    """Return the share of samples whose predicted class is right."""
    return float(np.mean(predicted == classes))


def macro_f1(predicted: Array, y: Array) -> float:
    """Return F1 = 2 TP / (labels + predictions) averaged over the classes that occur in either; NaN without samples."""
    classes = int(max(predicted.max(initial=-1), y.max(initial=-1))) + 1
    hits = np.bincount(y[predicted == y], minlength=classes)
    occurrences = np.bincount(y, minlength=classes) + np.bincount(predicted, minlength=classes)
    present = occurrences > 0
    return float(np.mean(2.0 * hits[present] / occurrences[present])) if present.any() else float("nan")
