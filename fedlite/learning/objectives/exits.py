"""Every exit of a net learns the classes, and from the other exits: self-distillation between them.

References
----------
Kim et al. 2023, "DepthFL: Depthwise federated learning for heterogeneous clients", equation 2. The weight of the
divergence, which is raised over the rounds there, is 1 from the beginning here: an objective knows no rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.learning.objectives.base import SHARE, Metric, MisfitError
from fedlite.learning.objectives.cross_entropy import CrossEntropy, accuracy, macro_f1

if TYPE_CHECKING:
    from torch import Tensor

    from fedlite.learning.objectives.base import Array


class Exits(CrossEntropy):
    """Learns classes at every exit; judged by the mean of all exits' probabilities, and by the first and last alone."""

    name = "exits"
    metrics = (
        Metric("accuracy", "max", SHARE),
        Metric("macro_f1", "max", SHARE),
        Metric("first_accuracy", "max", SHARE),
        Metric("last_accuracy", "max", SHARE),
    )
    cites = ("kim2023depthfl",)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum of all exits' cross entropies and of their mean divergences from the others.

        That is sum_i CE_i + 1/(E-1) sum_i sum_(j != i) KL(p_j || p_i), where p_j is a constant.

        Parameters
        ----------
        outputs : Tensor
            Logits (N, E, classes) of E exits.
        targets : Tensor
            Classes (N,).
        """
        import torch.nn.functional as F  # here, so that a scenario is checked without torch

        exits = outputs.shape[1]
        log_p = F.log_softmax(outputs, dim=2)
        # As one long batch: the loss over several places at once has no repeatable gradients on accelerators.
        each = F.nll_loss(log_p.flatten(0, 1), targets[:, None].expand(-1, exits).flatten(), reduction="none")
        right = each.view(-1, exits).sum(1)
        if exits == 1:
            return right
        teachers = log_p.detach()
        p = teachers.exp()
        # Of the pairs of an exit with itself neither value nor slope is other than 0, so that sums may factor.
        own = exits * (p * teachers).sum(dim=(1, 2))
        crossed = (p.sum(1) * log_p.sum(1)).sum(1)
        return right + (own - crossed) / (exits - 1)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the classes (N, 3) that all exits together predict, that the first does, and that the last does."""
        import torch

        together = outputs.softmax(dim=2).mean(dim=1)
        return torch.stack([scores.argmax(dim=1) for scores in (together, outputs[:, 0], outputs[:, -1])], dim=1)

    def summary(self, scores: Array, targets: Array, losses: Array) -> dict[str, float]:
        """Return accuracy and macro-F1 of all exits together, and the accuracy of the first and of the last."""
        together, first, last = scores.T
        return {
            "accuracy": accuracy(together, targets),
            "macro_f1": macro_f1(together, targets),
            "first_accuracy": accuracy(first, targets),
            "last_accuracy": accuracy(last, targets),
        }

    def check(
        self, output_shape: tuple[int, ...], target_shape: tuple[int, ...], target_dtype: str, num_classes: int
    ) -> None:
        """Raise MisfitError unless there is one class per sample, and logits (exits, classes)."""
        if len(output_shape) != 2 or output_shape[1] != num_classes:  # noqa: PLR2004 - exits and classes
            raise MisfitError(
                f"objective {self.name!r}: got a model that gives {output_shape} for a sample, expected (exits, "
                f"{num_classes}), a score for each class from each exit; name a model such as 'resnet8-exits' with "
                "'outputs: all'"
            )
        super().check(output_shape[1:], target_shape, target_dtype, num_classes)
