"""Mean squared error: the model gives numbers, which should lie close to those of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlite.learning.objectives.base import Metric, MisfitError, Objective

if TYPE_CHECKING:
    from torch import Tensor

    from fedlite.learning.objectives.base import Array


class Regression(Objective):
    """Learns numbers; judged by the root of the mean squared error, in the data's own unit."""

    name = "regression"
    metrics = (Metric("rmse", "min"), Metric("mae", "min"))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error of each sample over its numbers; both of shape (N, numbers)."""
        return (outputs - targets).square().mean(dim=1)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean absolute error of each sample."""
        return (outputs - targets).abs().mean(dim=1)

    def summary(self, scores: Array, targets: Array, losses: Array) -> dict[str, float]:
        """Return the root of the mean squared error and the mean absolute error."""
        return {"rmse": float(np.sqrt(losses.mean())), "mae": float(scores.mean(dtype=np.float64))}

    def check(
        self, output_shape: tuple[int, ...], target_shape: tuple[int, ...], target_dtype: str, num_classes: int
    ) -> None:
        """Raise MisfitError unless targets are lists of numbers and the model gives as many."""
        if not target_dtype.startswith("float"):
            raise MisfitError(
                f"objective {self.name!r}: got labels {target_dtype}, which are classes, expected float32 numbers; "
                "write 'objective: cross-entropy'"
            )
        if len(target_shape) != 1 or output_shape != target_shape:
            raise MisfitError(
                f"objective {self.name!r}: got a model that gives {output_shape} for a sample whose targets are "
                f"{target_shape}, expected one list of numbers for both; name a model that gives as many"
            )
