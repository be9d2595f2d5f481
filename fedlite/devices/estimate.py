"""A predicted quantity with its error band: the uncertainty is part of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Number = float | NDArray[np.float64]


class Calibration(StrEnum):
    """How a prediction was anchored; each class has its own measured error, best first."""

    MEASURED = "measured"
    THREE_ANCHORS = "three-anchors"
    TWO_ANCHORS = "two-anchors"
    ONE_ANCHOR = "one-anchor"
    ENGINE_FAMILY = "engine-family"
    SPEC_SHEET = "spec-sheet"
    ASSUMED = "assumed"


@dataclass(frozen=True)
class Estimate:
    """A value and the interval it is expected in, all in one SI unit, scalars or arrays of one shape.

    `low` and `high` bound the central 80 % of the errors seen when predicting devices that were not fitted.
    """

    value: Number
    low: Number
    high: Number
    calibration: Calibration

    @classmethod
    def within(cls, value: Number, low_factor: float, high_factor: float, calibration: Calibration) -> Self:
        """Return the estimate whose band is `value * low_factor` to `value * high_factor`."""
        return cls(value, value * low_factor, value * high_factor, calibration)

    def __add__(self, other: Estimate) -> Estimate:
        """Add two estimates whose errors may be fully correlated: the bands add, the worse class is kept."""
        order = list(Calibration)
        worse = max(self.calibration, other.calibration, key=order.index)
        return Estimate(self.value + other.value, self.low + other.low, self.high + other.high, worse)

    def record(self, factor: float = 1.0) -> dict[str, Any]:
        """Return a scalar times a factor, such as 1e3 for ms, as JSON values: value, low, high, calibration."""
        band = (("value", self.value), ("low", self.low), ("high", self.high))
        return {**{name: factor * float(part) for name, part in band}, "calibration": str(self.calibration)}

    def scaled(self, factor: Number) -> Estimate:
        """Return the estimate times an exactly known non-negative factor."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor, self.calibration)
