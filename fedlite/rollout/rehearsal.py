"""One rehearsal: a plan carried out once on the fleet, in one world, with one set of dice.

    let in -> asks -> waits for the conditions -> downloads -> installs -> reports
                  gates look at reports; the first that trips stops what comes after

Replications share the fleet: its devices, their owners' days, their links' mean rates. Each draws anew who opted out,
who is held out, who is let in first, when each device asks, what its link gives it, which downloads and installs fail,
and what it reports. All of it hangs on (seed, replication, device), never on how many rehearsals are made, or where.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.rng import uniform
from fedlite.rollout import audience as people
from fedlite.rollout import monitor
from fedlite.rollout.arms import Arms
from fedlite.rollout.delivery import Courier, Delivery, Offer
from fedlite.rollout.letting_in import Letting, Stretch, waves
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.fleet.state import Fleet
    from fedlite.rollout.audience import Members
    from fedlite.rollout.charges import Charges
    from fedlite.rollout.monitor import Trip
    from fedlite.rollout.plan import Plan
    from fedlite.rollout.worlds import World

    Ids = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Played:
    """What happened in one rehearsal. Arrays have shape (N,).

    `let_in_s` is infinite where the plan never got to; `back_s` is when a device ran the old model again.
    """

    members: Members
    delivery: Delivery
    back: Delivery
    let_in_s: Floats
    trip: Trip | None
    waves: tuple[Stretch, ...]
    """Those that began."""


def play(plan: Plan, fleet: Fleet, world: World, replication: int, charges: Charges | None = None) -> Played:
    """Carry a plan out once."""
    return _Rehearsal(plan, fleet, world, replication, charges).run()


class _Rehearsal:
    def __init__(self, plan: Plan, fleet: Fleet, world: World, replication: int, charges: Charges | None) -> None:
        self.plan, self.fleet, self.world = plan, fleet, world
        self.replication = replication
        self.profile = fleet.population.profile_of.astype(np.int64)
        self.members = people.draw(plan.audience, fleet, plan.seed, replication, plan.start_s)
        self.courier = Courier(fleet, plan.policy, plan.seed, replication, plan.horizon_s, charges)
        self.arms = Arms(plan, fleet, world, self.members, replication)
        self.delivery, self.back = Delivery.none(len(fleet)), Delivery.none(len(fleet))
        self.let_in_s = np.full(len(fleet), np.inf)
        self._number = 0
        self._leave_out()

    def _leave_out(self) -> None:
        """Give a state to whoever can never be let in."""
        unfit = self.plan.assigned.why[self.profile]
        members, state = self.members, self.delivery.state
        state[members.held_out] = State.HELD_OUT.code
        state[members.full] = State.STORAGE_FULL.code
        state[members.opted_out] = State.OPTED_OUT.code
        misfits = unfit != State.UPDATED.code
        state[misfits] = unfit[misfits]
        self.can = (state == State.NOT_REACHED.code) | (state == State.HELD_OUT.code)

    def run(self) -> Played:
        """Let devices in, wave by wave, until all are in, a gate trips or the horizon is reached."""
        plan, trip, until_s = self.plan, None, self.plan.start_s
        begun: list[Stretch] = []
        letting = Letting(self.can, self.members.rank, self.profile)
        for wave in waves(plan.strategy, letting, plan.start_s, plan.horizon_s, self):
            begun.append(wave)
            # While somebody was waited for, gates went on looking.
            trip = self._watched(until_s, wave.begin_s, ()) if wave.begin_s > until_s else None
            trip = trip or self._watched(wave.begin_s, wave.end_s, wave.analyses, wave.number)
            until_s = wave.end_s
            if trip is not None:
                break
        if trip is None and until_s < plan.horizon_s:
            trip = self._watched(until_s, plan.horizon_s, ())
        if trip is not None:
            self._stop(trip)
        gone = (self.delivery.state == State.UPDATED.code) & (self.members.leaves_s < plan.horizon_s)
        self.delivery.state[gone] = State.LEFT_UPDATED.code
        return Played(self.members, self.delivery, self.back, self.let_in_s, trip, tuple(begun))

    def deliver(self, devices: Ids, let_in_s: Floats) -> Delivery:
        """Return what becomes of devices that are let in at these times."""
        part = self._carried(devices, let_in_s)
        fails = uniform(self.plan.seed, "rollout install", devices, self.replication)
        bad = (part.state == State.UPDATED.code) & (fails < self.world.new.install_failure[self.profile[devices]])
        held = np.flatnonzero(self.members.held_out[devices])
        nothing = Delivery.none(len(held))
        nothing.state[:] = State.HELD_OUT.code
        # Only who would have had it by now is like those who have: waiting for Wi-Fi sorts devices and their classes.
        nothing.stands_by_s[:] = part.runs_s[held]
        part.state[bad] = State.INSTALL_FAILED.code
        part.put(held, nothing)
        return part

    def _carried(self, devices: Ids, let_in_s: Floats) -> Delivery:
        members, profile = self.members, self.profile[devices]
        asks_s = let_in_s + members.lag_s[devices]
        payload = self.plan.assigned.download_bytes[profile]
        offer = Offer(devices, asks_s, payload, members.slop_s[devices], members.leaves_s[devices])
        return self.courier.deliver(offer)

    def accept(self, devices: Ids, let_in_s: Floats, delivery: Delivery) -> None:
        """Let them in."""
        self.delivery.put(devices, delivery)
        self.let_in_s[devices] = let_in_s

    def served_s(self, devices: Ids, share: float) -> float:
        """Return when a share of devices run the new model; those held out are not counted."""
        runs_s = np.sort(self.delivery.runs_s[devices[~self.members.held_out[devices]]])
        needed = math.ceil(round(share * len(runs_s), 9))
        return float(runs_s[needed - 1]) if needed else -math.inf

    # -- gates --------------------------------------------------------------------------------------------------------

    def _watched(self, from_s: float, until_s: float, analyses: tuple[str, ...], number: int = 0) -> Trip | None:
        self._number = max(self._number, number)
        trips = []
        for watch in self.plan.watches:
            if self._number < watch.from_stage:
                continue
            analysed = watch.name in analyses
            when_s = monitor.looks_s(watch, self.plan.start_s, from_s, until_s, analysed=analysed)
            treated, control = self.arms.of(watch.metric, self.delivery)
            trips.append(monitor.first_trip(watch, treated, control, when_s))
        return monitor.earliest(trips)

    # -- stopping -----------------------------------------------------------------------------------------------------

    def _stop(self, trip: Trip) -> None:
        """Stop serving whoever has not begun its download, and take the others back if the gate says so."""
        self._withdraw(np.flatnonzero(np.isfinite(self.let_in_s) & (self.let_in_s > trip.when_s)))
        if trip.watch.on_fail == "pause":
            return
        waits = self.delivery.state != State.HELD_OUT.code
        stopped = waits & (self.let_in_s < np.inf) & (self.delivery.begun_s > trip.when_s)
        self.delivery.put(np.flatnonzero(stopped), Delivery.none(int(stopped.sum())))
        self.delivery.state[stopped] = State.STOPPED.code
        if trip.watch.on_fail == "rollback":
            self._roll_back(trip.when_s)

    def _withdraw(self, devices: Ids) -> None:
        """Let nobody in after the stop: a stretch of a rate was served to its end before its gates were asked."""
        self.delivery.put(devices, Delivery.none(len(devices)))
        self.delivery.state[devices[self.members.held_out[devices]]] = State.HELD_OUT.code
        self.let_in_s[devices] = np.inf

    def _roll_back(self, when_s: float) -> None:
        has = np.flatnonzero(self.delivery.state == State.UPDATED.code)
        members = self.members
        asks_s = np.maximum(when_s, self.delivery.done_s[has]) + members.lag_s[has]
        payload = np.full(len(has), self.plan.old.payload_bytes)
        offer = Offer(has, asks_s, payload, members.slop_s[has], members.leaves_s[has])
        part = self.courier.deliver(offer, errand=1)
        self.back.put(has, part)
        self.delivery.state[has[part.state == State.UPDATED.code]] = State.ROLLED_BACK.code
