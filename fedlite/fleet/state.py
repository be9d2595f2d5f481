"""The fleet: the one owner of what changes on devices, as arrays of one number per device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.errors import FleetExhaustedError
from fedlite.fleet.batteries import TICK_S, Batteries
from fedlite.fleet.connections import Connections
from fedlite.fleet.hardware import Hardware
from fedlite.fleet.presence import Presence
from fedlite.units import DAY_S, MONTH_S, show

if TYPE_CHECKING:
    from fedlite.fleet.attendance import Attendance
    from fedlite.fleet.population import Population
    from fedlite.fleet.rules import Budgets, Rules
    from fedlite.simulation.availability import Availability

PATIENCE_S: Final = 30 * DAY_S
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
        self.hardware = Hardware.of(population.profiles, budgets)
        self.connections = Connections(population, seed)
        self.seed = seed
        self.excluded = np.zeros(n, dtype=bool) if excluded is None else excluded
        self.batteries = Batteries(
            population.profiles, population.profile_of, self.presence.plugged, seed=seed, start_s=start_s
        )
        self.busy_until_s = np.full(n, -np.inf)
        # When the tail of each radio ends: those of the preferred links first, then those of the others.
        self._radio_off_s = np.full((2, n), -np.inf)
        self._energy_j = np.zeros(n)
        self._energy_day = np.full(n, -1, dtype=np.int32)
        self._metered_bytes = np.zeros(n)
        self._metered_month = np.full(n, -1, dtype=np.int32)
        self.jobs = np.zeros(n, dtype=np.int32)
        self.check_ins: Attendance | None = None
        """How devices come to the server; None in a world where they are there whenever they may be asked."""

    def __len__(self) -> int:
        return len(self.population)

    @property
    def ids(self) -> Ids:
        """Every device, in order."""
        return np.arange(len(self), dtype=np.int64)

    def capacity_of(self, devices: Ids) -> Floats:
        """Battery capacity in joules, infinity on mains."""
        return self.batteries.capacity_j(devices)

    def on_mains(self, devices: Ids) -> Bools:
        """Devices without a battery."""
        return np.isinf(self.capacity_of(devices))

    def plugged(self, devices: Ids, now_s: float) -> Bools:
        """Devices that draw from the grid now."""
        return self.presence.plugged(devices, now_s)

    def advance(self, now_s: float) -> None:
        """Promise that virtual time has come to here: nobody will ask about the time before."""
        if self.check_ins is not None:
            self.check_ins.pass_until(now_s)
        self.batteries.reach(now_s)

    def charge_at(self, devices: Ids, now_s: float | Floats) -> Floats:
        """Charge in joules at a time not before the last advance (busy devices: after their job); infinity on mains."""
        return self.batteries.at(devices, now_s)

    def eligible(self, now_s: float) -> Ids:
        """Return the devices that may be asked now, in order: rules met, charged enough, not busy, not excluded.

        Where devices check in, those of them that wait for the server.
        """
        if self.check_ins is not None:
            return self.check_ins.waiting(now_s)
        candidates = np.flatnonzero(~self.excluded & (self.busy_until_s <= now_s))
        if self.rules.conditions:
            candidates = candidates[self.presence.holds(self.rules.conditions, candidates, now_s)]
        if self._least_charge > 0:
            candidates = candidates[self.charged(candidates, now_s)]
        return candidates

    @property
    def _least_charge(self) -> float:
        """Charge as a fraction of the capacity below which nobody is asked."""
        return max(self.rules.min_battery, self.budgets.battery_floor)

    def reachable(self, devices: Ids, now_s: float) -> Bools:
        """Devices that a message reaches now: those not at work, or, where devices check in, those that wait."""
        if self.check_ins is not None:
            return np.isin(devices, self.check_ins.waiting(now_s))
        return np.asarray(self.busy_until_s[devices] <= now_s)

    def reachable_again_s(self, device: int) -> float:
        """Return when a message next reaches a device, infinity if that is not known yet."""
        if self.check_ins is not None:
            return self.check_ins.comes_s(device)
        return float(self.busy_until_s[device])

    def charged(self, devices: Ids, now_s: float | Floats) -> Bools:
        """Devices on mains, and those charged enough to be asked, now or each at its own time."""
        if self._least_charge <= 0:
            return np.ones(len(devices), dtype=bool)
        return self.charge_at(devices, now_s) >= self._least_charge * self.capacity_of(devices)

    def next_change_s(self, now_s: float) -> float:
        """Return the next time at which the set of eligible devices may differ.

        Raises
        ------
        FleetExhaustedError
            If no device's rules can ever be met again.
        """
        free = np.flatnonzero(~self.excluded)
        if self.check_ins is not None:
            if not np.isfinite(soonest_s := self.check_ins.next_arrival_s(now_s)):
                raise FleetExhaustedError(self.why_starved(now_s))
            return soonest_s
        habits_s = self.presence.next_start_s(self.rules.conditions, free, now_s)
        if not np.isfinite(habits_s).any():
            raise FleetExhaustedError(self.why_starved(now_s))
        starts_s = np.maximum(habits_s, self.busy_until_s[free])
        soonest_s = float(starts_s[starts_s > now_s].min(initial=np.inf))
        # Batteries move on ticks, so a device may also become eligible at the next one; and nobody waits for ever.
        if self._least_charge > 0 or not np.isfinite(soonest_s):
            soonest_s = min(soonest_s, (np.floor(now_s / TICK_S) + 1) * TICK_S)
        return soonest_s

    def why_starved(self, now_s: float) -> str:
        """Return a sentence on why too few devices are eligible, with counts and a remedy."""
        free = np.flatnonzero(~self.excluded)
        said_of = {"plugged": "not charging", "unmetered": "on a metered network", "idle": "in use"}
        reasons = {
            "that no plan fits": int(self.excluded.sum()),
            "busy": int((self.busy_until_s[free] > now_s).sum()),
            **{
                said_of[condition]: int((~self.presence.holds(frozenset({condition}), free, now_s)).sum())
                for condition in sorted(self.rules.conditions)
            },
            "with too little charge": int((~self.charged(free, now_s)).sum()),
            "refused by the server": 0 if self.check_ins is None else len(free) - self.check_ins.admitted,
        }
        said = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
        return (
            f"fleet: too few of {len(self)} devices can be asked at virtual time {show(now_s, 'time')}"
            f" ({said or 'all are free, but fewer than a round needs'});"
            " loosen fleet.rules, lower training.clients_per_round or enlarge fleet.devices"
            + (", or change fleet.protocol (min_gap, selection, check_in)" if self.check_ins is not None else "")
        )

    @property
    def patience_s(self) -> float:
        """For how long too few devices may be eligible until the fleet is exhausted: beyond what they were told."""
        if self.check_ins is None:
            return PATIENCE_S
        protocol = self.check_ins.protocol
        return PATIENCE_S + protocol.min_gap_s + protocol.check_in.every_s + protocol.selection.timeout_s

    @property
    def job_cap_s(self) -> float:
        """How long a device works on one job before it gives up."""
        return np.inf if self.check_ins is None else self.check_ins.protocol.reporting.device_cap_s

    def allowance_j(self, devices: Ids, now_s: float) -> Floats:
        """What is left of the day's energy budget, joules."""
        today = int(now_s // DAY_S)
        spent = np.where(self._energy_day[devices] == today, self._energy_j[devices], 0.0)
        return self.budgets.energy_per_day_j - spent

    def metered_left_bytes(self, devices: Ids, now_s: float) -> Floats:
        """What is left of the month's metered bytes. Months begin at whole multiples of `MONTH_S`, days likewise."""
        month = int(now_s // MONTH_S)
        spent = np.where(self._metered_month[devices] == month, self._metered_bytes[devices], 0.0)
        return self.budgets.metered_bytes_per_month - spent

    def radio_awake_s(self, devices: Ids, at_home: Bools, now_s: float | Floats) -> Floats:
        """Return how long from now the tails of radios run; nothing or less: the radio is idle.

        Parameters
        ----------
        devices : ndarray of int, shape (n,)
        at_home : ndarray of bool, shape (n,)
            Whether the radio of the preferred link is meant, or that of the other one.
        now_s : float or ndarray, shape (n,)
            Not before the end of the devices' last jobs.
        """
        return np.asarray(self._radio_off_s[(~at_home).astype(np.intp), devices] - now_s)

    def leave_awake(self, devices: Ids, at_home: Bools, until_s: Floats) -> None:
        """Note until when (n,) the radios of some distinct devices stay awake; -infinity where nothing woke them."""
        radios = (~at_home).astype(np.intp)
        self._radio_off_s[radios, devices] = np.maximum(self._radio_off_s[radios, devices], until_s)

    def reserve(self, devices: Ids) -> None:
        """Keep devices busy until their job is booked; each job gets its number on its device."""
        self.busy_until_s[devices] = np.inf
        self.jobs[devices] += 1
        if self.check_ins is not None:
            self.check_ins.begin_work(devices)

    def charge(
        self,
        devices: Ids,
        now_s: float | Floats,
        *,
        until_s: Floats,
        energy_j: Floats,
        battery_j: Floats,
        metered_bytes: Floats,
    ) -> None:
        """Book what a job on each of some distinct devices used, and free them at `until_s`.

        Parameters
        ----------
        devices : ndarray of int, shape (n,)
        now_s : float or ndarray, shape (n,)
            When the jobs began: the day and the month that they count for.
        until_s : ndarray, shape (n,)
            When they end. The battery pays then, in one sum: until then nobody asks the device for anything else.
        energy_j, battery_j, metered_bytes : ndarrays, shape (n,)
            All energy of the job, the part of it out of the battery, and the bytes that its owner pays for.
        """
        today, month = (np.asarray(now_s) // DAY_S).astype(np.int32), (np.asarray(now_s) // MONTH_S).astype(np.int32)
        self.batteries.draw(devices, until_s, np.where(self.on_mains(devices), 0.0, battery_j))
        self.busy_until_s[devices] = until_s
        spent = np.where(self._energy_day[devices] == today, self._energy_j[devices], 0.0)
        self._energy_j[devices], self._energy_day[devices] = spent + energy_j, today
        used = np.where(self._metered_month[devices] == month, self._metered_bytes[devices], 0.0)
        self._metered_bytes[devices], self._metered_month[devices] = used + metered_bytes, month
