"""A stage: a hostile device sends the opposite of what it has learned, made larger.

Source: Li et al. 2019, "RSA: Byzantine-robust stochastic aggregation methods", section 5 (sign-flipping attack).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlite.client.stages.base import Applied, Sending, Stage, Update, is_float
from fedlite.compression.part import Effects, PartError


@dataclass(frozen=True)
class SignFlip(Stage):
    """Every floating tensor of the update is multiplied by `-strength`; counters stay."""

    name: ClassVar[str] = "sign-flip"
    cites: ClassVar[tuple[str, ...]] = ("@misc{li2019rsa, title = {Byzantine-robust stochastic aggregation}}",)

    strength: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.strength) and self.strength > 0):
            raise PartError(f"strength: got {self.strength}, expected a number above 0; 1 only turns the update round")

    @property
    def effects(self) -> Effects:
        """The update is read and written once."""
        return Effects(update_passes=2.0)

    @property
    def label(self) -> str:
        """Such as "sign flip 1"."""
        return f"sign flip {self.strength:g}"

    @property
    def remark(self) -> str:
        """What to know of it."""
        return "a hostile device: it pays for its training like any other"

    def apply(self, update: Update, job: Sending) -> Applied:
        """Return the update turned round."""
        factor = np.float32(-self.strength)
        return Applied([part * factor if is_float(part) else part for part in update])
