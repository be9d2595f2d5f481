"""Soft targets: a model learns to spread its probability as somebody else does, without a label.

The targets are scores (logits), such as the mean of several models'. Servers use it on rows of their own; it is no
objective of a scenario, whose clients have labels.

References
----------
Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2 (softened by a temperature, whose
square keeps the size of the gradients).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.learning.objectives.base import LOSS, MisfitError, Objective

if TYPE_CHECKING:
    from torch import Tensor

    from fedlite.learning.objectives.base import Array


class SoftTargets(Objective):
    """Learns the probabilities behind scores.

    Parameters
    ----------
    temperature : float
        Softens both sides.
    """

    name = "soft-targets"
    metrics = (LOSS,)
    cites = ("hinton2015distilling",)

    def __init__(self, temperature: float = 1.0) -> None:
        self._temperature = temperature

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return T^2 * KL(targets || outputs) of each sample; both are logits (N, classes)."""
        import torch.nn.functional as F

        wanted = F.log_softmax(targets / self._temperature, dim=1)
        told = F.log_softmax(outputs / self._temperature, dim=1)
        return self._temperature**2 * F.kl_div(told, wanted, reduction="none", log_target=True).sum(dim=1)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the outputs."""
        return outputs

    def summary(self, scores: Array, targets: Array, losses: Array) -> dict[str, float]:
        """Return the mean loss."""
        return {LOSS.name: float(losses.mean())}

    def check(
        self, output_shape: tuple[int, ...], target_shape: tuple[int, ...], target_dtype: str, num_classes: int
    ) -> None:
        """Raise MisfitError unless there is one score for each score."""
        if output_shape != target_shape or not target_dtype.startswith("float"):
            raise MisfitError(
                f"objective {self.name!r}: got a model that gives {output_shape} for targets {target_dtype} of shape"
                f" {target_shape}, expected as many scores as targets; name another model"
            )
