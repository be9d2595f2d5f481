"""The fleet: the one owner of what changes on devices, as arrays of one number per device.

Charge moves on a fixed grid of virtual time (`TICK_S`), whoever asks and however often, so that reaching a time in one
step or in many gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedlite.devices import battery
from fedlite.errors import FleetExhaustedError
from fedlite.fleet.population import Population
from fedlite.fleet.presence import Presence
from fedlite.fleet.rules import Budgets, Rules
from fedlite.rng import uniform
from fedlite.simulation.availability import Availability
from fedlite.units import DAY_S, HOUR_S, show

TICK_S = HOUR_S
MONTH_S = 30 * DAY_S
PATIENCE_S = 30 * DAY_S
"""A fleet in which nobody becomes eligible for this long is exhausted."""

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Fleet:
    """N simulated devices: charge, allowances and what keeps each of them busy.

    Parameters
    ----------
    population : Population
    availability : Availability
        Pure functions of (device, t): plugged, on an unmetered network, idle.
    rules, budgets : Rules, Budgets
    seed : int
        Names the streams of everything random about the fleet.
    excluded : ndarray of bool, shape (N,), optional
        Devices that no plan fits and that are never asked.
    start_s : float
        Virtual time of the run's start, seconds since Monday 00:00 of the fleet's reference time zone.
    """

    def __init__(
        self,
        population: Population,
        availability: Availability,
        rules: Rules,
        budgets: Budgets,
        *,
        seed: int,
        excluded: Bools | None = None,
        start_s: float = 0.0,
    ) -> None:
        n = len(population)
        self.population = population
        self.presence = Presence(population, availability)
        self.rules = rules
        self.budgets = budgets
        self.seed = seed
        self.excluded = np.zeros(n, dtype=bool) if excluded is None else excluded
        profiles = population.profiles
        self.capacity_j = np.array([p.battery_j.value if p.battery_j else np.inf for p in profiles])
        self.idle_w = np.array([p.idle_w.value for p in profiles])
        self.charge_w = np.array([p.charge_w.value if p.charge_w else 0.0 for p in profiles])
        self._tick = int(start_s // TICK_S)
        self._charge_j = self.capacity_of(self.ids) * (0.3 + 0.7 * uniform(seed, "initial charge", self.ids))
        self.busy_until_s = np.full(n, -np.inf)
        self._energy_j = np.zeros(n, dtype=np.float32)
        self._energy_day = np.full(n, -1, dtype=np.int32)
        self._metered_bytes = np.zeros(n, dtype=np.float64)
        self._metered_month = np.full(n, -1, dtype=np.int32)
        self.jobs = np.zeros(n, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.population)

    @property
    def ids(self) -> Ids:
        """Every device, in order."""
        return np.arange(len(self), dtype=np.int64)

    def capacity_of(self, devices: Ids) -> Floats:
        """Battery capacity in joules, infinity on mains."""
        return np.asarray(self.capacity_j[self.population.profile_of[devices]])

    def on_mains(self, devices: Ids) -> Bools:
        """Devices without a battery."""
        return np.isinf(self.capacity_of(devices))

    def plugged(self, devices: Ids, now_s: float) -> Bools:
        """Devices that draw from the grid now."""
        return self.presence.holds("plugged", devices, now_s)

    def advance(self, now_s: float) -> None:
        """Let every battery drain and charge up to a time; earlier times change nothing."""
        while (self._tick + 1) * TICK_S <= now_s:
            middle_s = (self._tick + 0.5) * TICK_S
            self._charge_j = self._stepped(self.ids, middle_s, TICK_S)
            self._tick += 1

    def charge_at(self, devices: Ids, now_s: float) -> Floats:
        """Charge in joules at a time not before the last advance, infinity on mains."""
        return self._stepped(devices, now_s, max(0.0, now_s - self._tick * TICK_S))

    def _stepped(self, devices: Ids, when_s: float, duration_s: float) -> Floats:
        profile = self.population.profile_of[devices]
        charge_j = self._charge_j[devices]
        stepped = battery.step(
            charge_j,
            self.capacity_j[profile],
            self.plugged(devices, when_s),
            self.idle_w[profile],
            self.charge_w[profile],
            duration_s,
        )
        return np.where(np.isinf(charge_j), charge_j, stepped)

    def eligible(self, now_s: float) -> Ids:
        """Return the devices that may be asked now, in order: rules met, charged enough, not busy, not excluded."""
        candidates = np.flatnonzero(~self.excluded & (self.busy_until_s <= now_s))
        for condition in sorted(self.rules.conditions):
            candidates = candidates[self.presence.holds(condition, candidates, now_s)]
        least = max(self.rules.min_battery, self.budgets.battery_floor)
        if least > 0:
            enough = self.charge_at(candidates, now_s) >= least * self.capacity_of(candidates)
            candidates = candidates[enough | self.on_mains(candidates)]
        return candidates

    def next_change_s(self, now_s: float) -> float:
        """Return the next time at which the set of eligible devices may differ.

        Raises
        ------
        FleetExhaustedError
            If no device's rules can ever be met again.
        """
        free = self.ids[~self.excluded]
        habits_s = self.presence.next_start_s(free, now_s, self.rules.conditions)
        if not np.isfinite(habits_s).any():
            raise FleetExhaustedError(self.why_starved(now_s))
        starts_s = np.maximum(habits_s, self.busy_until_s[free])
        later = starts_s[starts_s > now_s]
        # Batteries move on ticks, so a device may also become eligible at the next one.
        next_tick_s = (np.floor(now_s / TICK_S) + 1) * TICK_S
        return float(min(later.min(initial=np.inf), next_tick_s))

    def why_starved(self, now_s: float) -> str:
        """Return a sentence on why too few devices are eligible, with counts and a remedy."""
        ids = self.ids
        free = ids[~self.excluded]
        said_of = {"plugged": "not charging", "unmetered": "on a metered network", "idle": "in use"}
        reasons = {
            "that no plan fits": int(self.excluded.sum()),
            "busy": int((self.busy_until_s[free] > now_s).sum()),
            **{
                said_of[condition]: int((~self.presence.holds(condition, free, now_s)).sum())
                for condition in sorted(self.rules.conditions)
            },
        }
        said = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
        return (
            f"fleet: too few of {len(self)} devices can be asked at virtual time {show(now_s, 'time')}"
            f" ({said or 'all are free, but fewer than a round needs'});"
            " loosen fleet.rules, lower training.clients_per_round or enlarge fleet.devices"
        )

    def allowance_j(self, devices: Ids, now_s: float) -> Floats:
        """What is left of the day's energy budget, joules."""
        today = int(now_s // DAY_S)
        spent = np.where(self._energy_day[devices] == today, self._energy_j[devices], 0.0)
        return self.budgets.energy_per_day_j - spent

    def metered_left_bytes(self, devices: Ids, now_s: float) -> Floats:
        """What is left of the month's metered bytes."""
        month = int(now_s // MONTH_S)
        spent = np.where(self._metered_month[devices] == month, self._metered_bytes[devices], 0.0)
        return self.budgets.metered_bytes_per_month - spent

    def reserve(self, devices: Ids) -> None:
        """Keep devices busy until their job is booked; each job gets its number on its device."""
        self.busy_until_s[devices] = np.inf
        self.jobs[devices] += 1

    def charge(
        self, devices: Ids, now_s: float, *, until_s: Floats, energy_j: Floats, battery_j: Floats, metered_bytes: Floats
    ) -> None:
        """Book what a job on each of some distinct devices used, and free them at `until_s`."""
        today, month = int(now_s // DAY_S), int(now_s // MONTH_S)
        on_mains = self.on_mains(devices)
        self._charge_j[devices] -= np.where(on_mains, 0.0, battery_j)
        self.busy_until_s[devices] = until_s
        spent = np.where(self._energy_day[devices] == today, self._energy_j[devices], 0.0)
        self._energy_j[devices], self._energy_day[devices] = spent + energy_j, today
        used = np.where(self._metered_month[devices] == month, self._metered_bytes[devices], 0.0)
        self._metered_bytes[devices], self._metered_month[devices] = used + metered_bytes, month
