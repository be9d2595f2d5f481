"""Which conditions hold on which device: people's habits for personal devices, fixed facts for unattended ones.

A phone is plugged in, on Wi-Fi and put aside when its owner does so. An IoT node has no owner at hand: it is on mains
or never plugged, its only link is metered or not, and it is always idle.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.devices import network
from fedlite.devices.profile import Tier
from fedlite.fleet.population import NO_LINK, Population

if TYPE_CHECKING:
    from fedlite.simulation.availability import Availability

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

PERSONAL = frozenset(tier for tier in Tier if tier.startswith("phone") or tier is Tier.WEARABLE)


class Presence:
    """The availability of a population; like availability itself, pure functions of (device, t).

    Conditions are "plugged", "unmetered" and "idle"; no condition always holds.
    """

    def __init__(self, population: Population, availability: Availability) -> None:
        self._availability = availability
        profiles = population.profiles
        self._personal = np.array([profile.tier in PERSONAL for profile in profiles])[population.profile_of]
        metered = np.array([network.ACCESS[name].metered for name in population.home.accesses], dtype=np.bool_)
        facts = {
            "plugged": np.array([profile.battery_j is None for profile in profiles])[population.profile_of],
            "unmetered": ~metered[population.home.access_of],
            "idle": np.ones(len(population.profile_of), dtype=np.bool_),
        }
        self._always_metered = ~facts["unmetered"]
        self._facts = {
            frozenset(some): np.all([facts[name] for name in some], axis=0) if some else facts["idle"]
            for number in range(len(facts) + 1)
            for some in combinations(facts, number)
        }
        """By set of conditions, for each device: whether all of them hold as fixed facts."""
        self._has_away = population.away.access_of != NO_LINK

    def holds(self, conditions: frozenset[str], devices: Ids, now_s: float | Floats) -> Bools:
        """Tell for each device whether all conditions hold, now or at its own time."""
        result = self._fixed(conditions, devices)
        people = self._people(devices)
        if conditions and people.size:
            result[people] = self._availability.eligible(devices[people], _of(now_s, people), conditions)
            result[people] &= self._possible(conditions, devices[people])
        return result

    def plugged(self, devices: Ids, now_s: float | Floats) -> Bools:
        """Devices that draw from the grid now, or at their own time."""
        return self.holds(frozenset({"plugged"}), devices, now_s)

    def on_home_link(self, devices: Ids, now_s: float | Floats) -> Bools:
        """Devices on their preferred link: unmetered now, or with no other link than this one."""
        return np.asarray(self.holds(frozenset({"unmetered"}), devices, now_s) | ~self._has_away[devices])

    def ends_s(self, conditions: frozenset[str], devices: Ids, now_s: float | Floats) -> Floats:
        """Return when the first of the conditions stops: now if one does not hold, infinity if none ever stops."""
        ends = np.where(self._fixed(conditions, devices), np.inf, now_s)
        people = self._people(devices)
        if conditions and people.size:
            told = self._availability.ends_s(devices[people], _of(now_s, people), conditions)
            ends[people] = np.where(self._possible(conditions, devices[people]), told, _of(now_s, people))
        return ends

    def next_start_s(self, conditions: frozenset[str], devices: Ids, now_s: float | Floats) -> Floats:
        """Return the earliest time from now on at which all conditions hold, infinity if never."""
        starts = np.where(self._fixed(conditions, devices), now_s, np.inf).astype(np.float64)
        people = self._people(devices)
        if conditions and people.size:
            told = self._availability.next_start_s(devices[people], _of(now_s, people), conditions)
            starts[people] = np.where(self._possible(conditions, devices[people]), told, np.inf)
        return starts

    def _people(self, devices: Ids) -> NDArray[np.int64]:
        """Positions of personal devices."""
        return np.flatnonzero(self._personal[devices])

    def _fixed(self, conditions: frozenset[str], devices: Ids) -> Bools:
        """Tell where all conditions hold as fixed facts; means nothing for personal devices."""
        return np.asarray(self._facts[conditions][devices])

    def _possible(self, conditions: frozenset[str], people: Ids) -> Bools:
        """Tell which personal devices can meet the conditions at all: no owner's habits make a paid link free."""
        return ~self._always_metered[people] if "unmetered" in conditions else np.ones(len(people), dtype=np.bool_)


def _of(now_s: float | Floats, index: NDArray[np.int64]) -> float | Floats:
    """Return the time, or the times of some devices where each has its own."""
    return now_s[index] if isinstance(now_s, np.ndarray) else now_s
