"""Which conditions hold on which device: people's habits for personal devices, fixed facts for unattended ones.

A phone is plugged in, on Wi-Fi and put aside when its owner does so. An IoT node has no owner at hand: it is on mains or
never plugged, its only link is metered or not, and it is always idle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedlite.devices import network
from fedlite.devices.profile import Tier
from fedlite.fleet.population import NO_LINK, Population
from fedlite.simulation.availability import Availability

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

PERSONAL = frozenset(tier for tier in Tier if tier.startswith("phone") or tier is Tier.WEARABLE)


class Presence:
    """The availability of a population; like availability itself, pure functions of (device, t)."""

    def __init__(self, population: Population, availability: Availability) -> None:
        self._availability = availability
        profiles = population.profiles
        self._profile_of = population.profile_of
        self._personal = np.array([profile.tier in PERSONAL for profile in profiles])
        self._mains = np.array([profile.battery_j is None for profile in profiles])
        self._unmetered = np.array([not network.ACCESS[profile.radios[0]].metered for profile in profiles])
        self._has_away = population.away.access_of != NO_LINK

    def holds(self, condition: str, devices: Ids, now_s: float) -> Bools:
        """Tell for each device whether "plugged", "unmetered" or "idle" holds now."""
        fixed = self._fixed(condition, devices)
        personal = self._personal[self._profile_of[devices]]
        if not personal.any():
            return fixed
        habits = {
            "plugged": self._availability.plugged,
            "unmetered": self._availability.unmetered,
            "idle": self._availability.idle,
        }
        return np.where(personal, habits[condition](devices, now_s), fixed)

    def on_home_link(self, devices: Ids, now_s: float) -> Bools:
        """Devices on their preferred link: unmetered now, or with no other link than this one."""
        return self.holds("unmetered", devices, now_s) | ~self._has_away[devices]

    def ends_s(self, devices: Ids, now_s: float, condition: str) -> Floats:
        """Return when a condition that holds stops holding, infinity if never."""
        personal = self._personal[self._profile_of[devices]]
        ends = np.full(len(devices), np.inf)
        if personal.any():
            ends[personal] = self._availability.ends_s(devices[personal], now_s, frozenset({condition}))
        return ends

    def next_start_s(self, devices: Ids, now_s: float, conditions: frozenset[str]) -> Floats:
        """Return the earliest time from now on at which all conditions hold, infinity if never."""
        personal = self._personal[self._profile_of[devices]]
        starts = np.full(len(devices), float(now_s))
        for condition in sorted(conditions):
            starts[~self._fixed(condition, devices) & ~personal] = np.inf
        if personal.any() and conditions:
            starts[personal] = self._availability.next_start_s(devices[personal], now_s, conditions)
        return starts

    def _fixed(self, condition: str, devices: Ids) -> Bools:
        profile = self._profile_of[devices]
        if condition == "idle":
            return np.ones(len(devices), dtype=bool)
        return np.asarray((self._mains if condition == "plugged" else self._unmetered)[profile])
