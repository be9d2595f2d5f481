"""Who may take part, and how much a job may use: the policy side of the fleet, as plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """What must hold for a device to be asked, and for a job to go on (Bonawitz et al. 2019, section 9)."""

    charging: bool = False
    unmetered: bool = False
    idle: bool = False
    min_battery: float = 0.0
    """Charge as a fraction of the capacity below which a device is not asked, in [0, 1]."""

    @property
    def conditions(self) -> frozenset[str]:
        """The availability conditions that the rules need, by their names in `simulation.availability`."""
        named = {"plugged": self.charging, "unmetered": self.unmetered, "idle": self.idle}
        return frozenset(name for name, needed in named.items() if needed)


@dataclass(frozen=True)
class Budgets:
    """What a job may use. Infinite or None means: no budget beyond what the device has."""

    cpu_share: float = 1.0
    """Share of the cores a background job may use, in (0, 1]."""
    cpu_time_s: float = math.inf
    """Processor time per round; a job that may use half of the cores takes twice as long to use it up."""
    memory_bytes: float | None = None
    """Memory a job may take; None: the profile's own number."""
    battery_floor: float = 0.0
    """Charge as a fraction of the capacity at which a job stops, in [0, 1]."""
    energy_per_day_j: float = math.inf
    """What jobs may add to the device's draw per day, whether the battery or the charger pays."""
    storage_bytes: float | None = None
    """Storage for model and data; None: the profile's own number."""
    metered_bytes_per_month: float = math.inf
