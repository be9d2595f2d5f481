"""Clipping of a client's update before it leaves the device.

References
----------
McMahan et al. 2018, "Learning differentially private recurrent language models", section 2.2 (flat clipping).
Andrew et al. 2021, "Differentially private learning with adaptive clipping" (the indicator bit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from fedlite.client.stages.base import Applied, Sending, Stage, Update, norm_of
from fedlite.compression.part import PartError
from fedlite.wire import is_float

CLIPPED: Final = "clipped"
"""Metric of a reply: 1 if the update was longer than the norm."""


@dataclass(frozen=True)
class Clip(Stage):
    """The update is scaled to at most a norm.

    Attributes
    ----------
    norm : float
        Greatest L2 norm over all floating tensors.
    """

    name: ClassVar[str] = "clip"
    cites: ClassVar[tuple[str, ...]] = ("mcmahan2018learning",)

    norm: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.norm) and self.norm > 0):
            raise PartError(f"norm: got {self.norm}, expected a finite number above 0; write for example 1.0")

    def apply(self, update: Update, job: Sending) -> Applied:
        """Return the scaled update, and whether it was scaled."""
        length = norm_of(update)
        if length <= self.norm:
            return Applied(update, metrics={CLIPPED: 0.0})
        scale = np.float32(self.norm / length)
        clipped = [np.asarray(part * scale).astype(part.dtype) if is_float(part) else part for part in update]
        return Applied(clipped, metrics={CLIPPED: 1.0})
