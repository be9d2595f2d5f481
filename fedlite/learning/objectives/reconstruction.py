"""Reconstruction: the model gives its own input again, through a bottleneck that keeps only what matters.

References
----------
Hinton, Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fedlite.learning.objectives.base import MisfitError
from fedlite.learning.objectives.regression import Regression

if TYPE_CHECKING:
    from torch import Tensor


class Reconstruction(Regression):
    """Learns the input itself, flattened; labels play no part."""

    name = "reconstruction"
    cites = ("hinton2006reducing",)

    def targets(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the inputs (N, *sample) as (N, numbers)."""
        return x.flatten(1)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error of each sample; the output may have any shape of as many numbers."""
        return super().losses(outputs.flatten(1), targets)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean absolute error of each sample."""
        return super().score(outputs.flatten(1), targets)

    def check(
        self, output_shape: tuple[int, ...], target_shape: tuple[int, ...], target_dtype: str, num_classes: int
    ) -> None:
        """Raise MisfitError unless the output has as many numbers as the input."""
        if math.prod(output_shape) != math.prod(target_shape):
            raise MisfitError(
                f"objective {self.name!r}: got a model that gives {output_shape} for an input of "
                f"{math.prod(target_shape)} numbers, expected as many; name a model such as 'autoencoder'"
            )
