"""Gaussian noise on a client's update: with clipping before it, local differential privacy.

References
----------
Balle, Wang 2018, "Improving the Gaussian mechanism for differential privacy" (how much is enough: privacy/accounting).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlite.client.stages.base import Applied, Sending, Stage, Update
from fedlite.compression.part import PartError
from fedlite.wire import is_float


@dataclass(frozen=True)
class Noise(Stage):
    """Independent noise is added to every coordinate of the floating tensors.

    Attributes
    ----------
    std : float
        Standard deviation.
    """

    name: ClassVar[str] = "noise"
    cites: ClassVar[tuple[str, ...]] = ("balle2018improving",)

    std: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.std) and self.std > 0):
            raise PartError(f"std: got {self.std}, expected a finite number above 0; leave the stage out for no noise")

    def apply(self, update: Update, job: Sending) -> Applied:
        """Return the noisy update."""
        noisy = [
            np.asarray(part + np.asarray(job.rng.normal(0.0, self.std, part.shape)).astype(part.dtype))
            if is_float(part)
            else part
            for part in update
        ]
        return Applied(noisy)
