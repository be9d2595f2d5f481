"""What the profiles of a fleet say about its devices, as one array over the profiles per fact.

Gathered through `population.profile_of`: pricing a batch of jobs then asks no profile for anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.devices import memory
from fedlite.devices.compute import on_microcontroller
from fedlite.pricing import heat_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.devices.profile import DeviceProfile
    from fedlite.fleet.rules import Budgets

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Hardware:
    """Facts of P profiles under one fleet's budgets. All arrays have shape (P,).

    `wall_bytes` is the memory at which a job is killed, `storage_bytes` what a job may store.
    """

    name: NDArray[np.str_]
    tier: NDArray[np.str_]
    threads: Floats
    active_w: Floats
    idle_w: Floats
    job_ram_bytes: Floats
    wall_bytes: Floats
    storage_bytes: Floats
    onset_s: Floats
    sustained: Floats

    @classmethod
    def of(cls, profiles: Sequence[DeviceProfile], budgets: Budgets) -> Hardware:
        """Return the facts of some profiles."""
        heat = np.array([heat_of(profile) for profile in profiles], dtype=np.float64).reshape(-1, 2)
        storage_bytes = np.array([profile.storage_bytes.value for profile in profiles], dtype=np.float64)
        if budgets.storage_bytes is not None:
            storage_bytes = np.minimum(storage_bytes, budgets.storage_bytes)
        return cls(
            name=np.array([profile.name for profile in profiles], dtype=np.str_),
            tier=np.array([str(profile.tier) for profile in profiles], dtype=np.str_),
            threads=np.array([profile.threads for profile in profiles], dtype=np.float64),
            active_w=np.array([profile.active_w.value for profile in profiles], dtype=np.float64),
            idle_w=np.array([profile.idle_w.value for profile in profiles], dtype=np.float64),
            job_ram_bytes=np.array([profile.job_ram_bytes.value for profile in profiles], dtype=np.float64),
            wall_bytes=np.array([wall_bytes(profile, budgets) for profile in profiles], dtype=np.float64),
            storage_bytes=storage_bytes,
            onset_s=heat[:, 0],
            sustained=heat[:, 1],
        )


def wall_bytes(profile: DeviceProfile, budgets: Budgets) -> float:
    """Return the memory at which a job is killed: the scenario's budget, or what swapping stretches it to."""
    stretch = memory.wall_at(swaps=not on_microcontroller(profile))
    return min(profile.job_ram_bytes.value * stretch, budgets.memory_bytes or np.inf)


def ram_bytes(profile: DeviceProfile, budgets: Budgets) -> float:
    """Return the memory that a job may have before it swaps or is killed: the device's, or the scenario's budget."""
    return min(profile.job_ram_bytes.value, budgets.memory_bytes or np.inf)
