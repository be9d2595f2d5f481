"""One currency for everything a device pays, added up as one record, scalar or vectorised over the fleet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Number = float | NDArray[np.float64]


@dataclass(frozen=True)
class Cost:
    """What an activity costs a device.

    Fields are floats or arrays of one shape; times and energies add, peaks take the maximum.
    """

    time_s: Number = 0.0
    energy_j: Number = 0.0
    up_bytes: Number = 0.0
    down_bytes: Number = 0.0
    peak_bytes: Number = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.time_s + other.time_s,
            self.energy_j + other.energy_j,
            self.up_bytes + other.up_bytes,
            self.down_bytes + other.down_bytes,
            np.maximum(self.peak_bytes, other.peak_bytes),
        )
