"""What the check-ins of a fleet came to: counts and costs per device, and their sums."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.units import DAY_S, HOUR_S

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

SUMS: Final = (
    *("check_ins", "energy_j", "energy_low_j", "energy_high_j", "radio_j", "tail_j"),
    *("up_bytes", "down_bytes", "metered_bytes"),
)
"""What is summed over all check-ins; the names are those of the ledger."""


@dataclass(frozen=True)
class Costs:
    """What n check-ins cost. All arrays have shape (n,)."""

    energy_j: Floats
    energy_low_j: Floats
    energy_high_j: Floats
    radio_j: Floats
    tail_j: Floats
    """The part of `radio_j` that went into tails."""
    battery_j: Floats
    """The part of `energy_j` that a battery paid."""
    up_bytes: Floats
    down_bytes: Floats
    metered_bytes: Floats


class Visits:
    """Costs and counts of the check-ins of N devices."""

    def __init__(self, n: int) -> None:
        self.count = np.zeros(n, dtype=np.int32)
        """Check-ins of each device."""
        self.in_vain = np.zeros(n, dtype=np.int32)
        """Those of them that came to nothing: refused, not needed, or gone again before the server asked."""
        self.energy_j = np.zeros(n)
        self.battery_j = np.zeros(n)
        """What they took out of each battery."""
        self.metered_bytes = np.zeros(n)
        self.by_hour = np.zeros(24, dtype=np.int64)
        """Check-ins by hour of the fleet's day."""
        self.sums = dict.fromkeys(SUMS, 0.0)

    def add(self, devices: Ids, when_s: Floats, costs: Costs) -> None:
        """Add one check-in of each of some distinct devices, at `when_s` (n,)."""
        self.count[devices] += 1
        self.energy_j[devices] += costs.energy_j
        self.battery_j[devices] += costs.battery_j
        self.metered_bytes[devices] += costs.metered_bytes
        np.add.at(self.by_hour, (when_s % DAY_S // HOUR_S).astype(np.int64), 1)
        self.sums["check_ins"] += len(devices)
        for name in SUMS[1:]:
            self.sums[name] += float(getattr(costs, name).sum())

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return one row per device: how often it came and what that cost it."""
        return {
            "device": np.arange(len(self.count), dtype=np.int32),
            "check_ins": self.count,
            "in_vain": self.in_vain,
            "energy_j": self.energy_j,
            "battery_j": self.battery_j,
            "metered_bytes": self.metered_bytes.astype(np.int64),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of what every device did and paid: the sums over them depend on who was added first."""
        sha = hashlib.sha256()
        for values in (self.count, self.in_vain, self.energy_j, self.battery_j, self.metered_bytes):
            sha.update(values.tobytes())
        return sha.hexdigest()
