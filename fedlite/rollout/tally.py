"""What one rehearsal came to, as the few numbers that bands are made of: every device, byte and joule counted once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.rollout.course import POINTS, course, points
from fedlite.rollout.states import STATES, State
from fedlite.units import DAY_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.fleet.state import Fleet
    from fedlite.rollout.plan import Plan
    from fedlite.rollout.rehearsal import Played
    from fedlite.rollout.worlds import World

    Floats = NDArray[np.float64]

SHARES: Final = (0.5, 0.9, 0.95, 0.99)
"""Shares of the fleet whose time is told."""
_MOST: Final = 0.95
_SHUT: Final = [
    state.code
    for state in (
        State.HELD_OUT, State.OPTED_OUT, State.STORAGE_FULL, State.NO_MEMORY, State.NO_STORAGE, State.NO_LATENCY,
        State.NO_VARIANT,
    )
]  # fmt: skip
"""Devices that no plan could let in."""


@dataclass(frozen=True)
class Tally:
    """One rehearsal of a fleet of P profiles, V variants and S states, at T points of time and K stages at most.

    Times are seconds from the rollout's start, infinity for what never happens.
    """

    time_to_s: Floats
    """Until shares of the fleet have the new model, (4,): see `SHARES`."""
    reachable_s: Floats
    """Until 95 % of the devices that can be let in at all have it."""
    coverage: Floats
    """Devices with the new model, (P, T)."""
    let_in: Floats
    """Devices that were let in so far, (T,); the control arm, which is given nothing, is not counted."""
    begun_s: Floats
    """When each stage began, (K,); of a rate, when it did, (1,)."""
    states: Floats
    """Devices by state at the horizon, (P, S)."""
    course: NDArray[np.int32]
    """Devices by where they stand, over time: see `fedlite.rollout.course.course`."""
    variants: Floats
    """Devices that run each variant at the horizon, (V,)."""
    metered_bytes: Floats
    unmetered_bytes: Floats
    saved_bytes: Floats
    """What downloads that got through would have been more without differences."""
    rollback_bytes: Floats
    peak_bps: Floats
    """Of the server: all downloads that go on at once, each at its own rate."""
    delivery_j: Floats
    inference_j: Floats
    rollback_j: Floats
    delivery_p95_j: Floats
    """95th percentile over devices that were updated."""
    update_charge: Floats
    """Share of a full battery that the download took from devices of each profile that were updated: its 5th, 50th and
    95th percentile, (P, 3); not a number on mains, and where nobody was updated."""
    attempts: Floats
    failed_attempts: Floats
    blast_devices: Floats
    """Devices on which the new model is bad that got it before the stop."""
    blast_device_s: Floats
    """Time that they ran it before the stop."""
    blast_worst: Floats
    """Largest share of a bad class that it reached."""
    blast_all: Floats
    """Devices on which the new model is bad that got it at all, those after the stop, too."""
    blast_left: Floats
    """Those of them that run it at the horizon."""
    stop_s: Floats
    """When a gate tripped."""
    tripped: Floats
    """Position of the gate, -1 for none."""
    seen: Floats
    """Reports that the gate had then."""
    accuracy: Floats
    """Mean of each profile's devices that are there at the horizon, whatever they run, (P,)."""
    latency_s: Floats
    """50th, 95th and 99th percentile over the inferences of devices that run the new model, (3,)."""

    def arrays(self) -> dict[str, Floats]:
        """Return the numbers by name, as they are stored."""
        return {field.name: np.asarray(getattr(self, field.name), dtype=np.float64) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Tally:
        """Return what `arrays` gave."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


def tally(plan: Plan, fleet: Fleet, world: World, played: Played) -> Tally:
    """Count a rehearsal."""
    profile = fleet.population.profile_of.astype(np.int64)
    number = len(fleet.population.profiles)
    new, back = played.delivery, played.back
    from_s, until_s = _spells(plan, played)
    runs = until_s > from_s
    stop_s = np.inf if played.trip is None else played.trip.when_s
    bad = world.bad[profile]
    reached = bad & (new.done_s <= min(stop_s, plan.horizon_s))
    on_bad_s = np.where(reached & runs, np.minimum(until_s, stop_s) - np.minimum(from_s, stop_s), 0.0)
    at_end = runs & (until_s >= plan.horizon_s)
    own = profile[at_end]
    of_bad = np.bincount(profile[bad], minlength=number)
    assigned = plan.assigned
    full = assigned.full_bytes[profile] - assigned.download_bytes[profile]
    latency_s = assigned.latency_s * world.new.latency_factor
    inference_j = assigned.inference_j * world.new.latency_factor * plan.heat.slowdown(latency_s)
    per_s = inference_j[profile] * plan.inferences_per_day / DAY_S
    got = np.isfinite(new.arrived_s)
    return Tally(
        time_to_s=_times(SHARES, from_s, until_s, len(fleet), plan),
        reachable_s=np.array(_times((_MOST,), from_s, until_s, int((~np.isin(new.state, _SHUT)).sum()), plan)[0]),
        coverage=_curve(profile, number, from_s, until_s, plan),
        let_in=_let_in(plan, played, stop_s),
        begun_s=_begun_s(plan, played),
        states=_by(profile, new.state, number, len(STATES)),
        course=course(plan, played),
        variants=np.bincount(assigned.variant_of[own], minlength=len(assigned.names)).astype(np.float64),
        metered_bytes=np.array(new.metered_bytes.sum() + back.metered_bytes.sum()),
        unmetered_bytes=np.array(new.unmetered_bytes.sum() + back.unmetered_bytes.sum()),
        saved_bytes=np.array(full[got].sum()),
        rollback_bytes=np.array((back.metered_bytes + back.unmetered_bytes).sum()),
        peak_bps=np.array(_peak_bps(played)),
        delivery_j=np.array(new.radio_j.sum()),
        # The first run is an inference, too.
        inference_j=np.array(np.sum(np.where(runs, per_s * (until_s - from_s), 0.0))),
        rollback_j=np.array(back.radio_j.sum()),
        delivery_p95_j=np.array(np.percentile(new.radio_j[got], 95) if got.any() else 0.0),
        update_charge=_charge(profile, number, new.radio_j / fleet.capacity_of(fleet.ids), got),
        attempts=np.array(float(new.attempts.sum() + back.attempts.sum())),
        failed_attempts=np.array(float(new.attempts.sum() + back.attempts.sum() - got.sum())
                                 - float(np.isfinite(back.arrived_s).sum())),
        blast_devices=np.array(float(reached.sum())),
        blast_device_s=np.array(on_bad_s.sum()),
        blast_worst=np.array(np.max(np.bincount(profile[reached], minlength=number) / np.maximum(of_bad, 1))),
        blast_all=np.array(float((bad & np.isfinite(new.done_s)).sum())),
        blast_left=np.array(float((bad & at_end).sum())),
        stop_s=np.array(stop_s - plan.start_s),
        tripped=np.array(-1.0 if played.trip is None else float(plan.watches.index(played.trip.watch))),
        seen=np.array(0.0 if played.trip is None else float(played.trip.devices)),
        accuracy=_accuracy(plan, world, played, at_end, profile),
        latency_s=_latency(plan, latency_s, np.bincount(own, minlength=number)),
    )  # fmt: skip


def _spells(plan: Plan, played: Played) -> tuple[Floats, Floats]:
    """Return from when to when each device runs the new model within the horizon; equal times where it never does."""
    installed = np.isin(played.delivery.state, (State.UPDATED.code, State.LEFT_UPDATED.code, State.ROLLED_BACK.code))
    from_s = np.where(installed, np.minimum(played.delivery.done_s, plan.horizon_s), plan.horizon_s)
    until_s = np.minimum(np.minimum(played.back.runs_s, played.members.leaves_s), plan.horizon_s)
    return from_s, np.maximum(from_s, until_s)


def _times(shares: Sequence[float], from_s: Floats, until_s: Floats, devices: int, plan: Plan) -> Floats:
    """Return when each share of so many devices first runs the new model."""
    runs = until_s > from_s
    times_s = np.concatenate([from_s[runs], until_s[runs & (until_s < plan.horizon_s)]])
    step = np.concatenate([np.ones(int(runs.sum())), -np.ones(len(times_s) - int(runs.sum()))])
    order = np.argsort(times_s, kind="stable")
    level, times_s = np.cumsum(step[order]), times_s[order] - plan.start_s
    goals = [np.flatnonzero(level >= np.ceil(round(share * devices, 9))) for share in shares]
    return np.array([times_s[goal[0]] if goal.size else np.inf for goal in goals])


def _curve(profile: NDArray[np.int64], number: int, from_s: Floats, until_s: Floats, plan: Plan) -> Floats:
    runs = until_s > from_s
    curve = np.zeros((number, POINTS + 1))
    for times_s, sign in ((from_s, 1.0), (until_s, -1.0)):
        who = runs if sign > 0 else runs & (until_s < plan.horizon_s)
        np.add.at(curve, (profile[who], points(times_s[who], plan)), sign)
    return np.cumsum(curve[:, :POINTS], axis=1)


def _let_in(plan: Plan, played: Played, stop_s: float) -> Floats:
    """Return how many devices were let in at each point of time, (T,)."""
    served = ~played.members.held_out & (played.let_in_s <= stop_s)
    counts = np.bincount(points(played.let_in_s[served], plan), minlength=POINTS + 1)
    return np.cumsum(counts[:POINTS]).astype(np.float64)


def _begun_s(plan: Plan, played: Played) -> Floats:
    """Return when each stage began; of a rate, which is cut wherever it changes, only the beginning is told."""
    begun_s = np.full(len(plan.strategy) if isinstance(plan.strategy, tuple) else 1, np.inf)
    told_s = [wave.begin_s - plan.start_s for wave in played.waves][: len(begun_s)]
    begun_s[: len(told_s)] = told_s
    return begun_s


def _by(rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int) -> Floats:
    counts = np.bincount(rows * width + columns, minlength=height * width)
    return counts.reshape(height, width).astype(np.float64)


def _charge(profile: NDArray[np.int64], number: int, charge: Floats, got: NDArray[np.bool_]) -> Floats:
    spread = np.full((number, 3), np.nan)
    own, of = charge[got], profile[got]
    for index in range(number):
        mine = own[of == index]
        # Nothing is taken from devices on mains, which have no battery.
        if mine.any():
            spread[index] = np.percentile(mine, (5, 50, 95))
    return spread


def _peak_bps(played: Played) -> float:
    """Return the most that the server sends at once: of the attempts that got through."""
    parts = [(part, np.isfinite(part.arrived_s)) for part in (played.delivery, played.back)]
    begin_s = np.concatenate([part.last_begun_s[got] for part, got in parts])
    end_s = np.concatenate([part.arrived_s[got] for part, got in parts])
    rate = np.concatenate([part.rate_bps[got] for part, got in parts])
    if not begin_s.size:
        return 0.0
    times_s, change = np.concatenate([end_s, begin_s]), np.concatenate([-rate, rate])
    # Ends before begins at the same time: they are first in the array, and the sort is stable.
    return float(np.max(np.cumsum(change[np.argsort(times_s, kind="stable")])))


def _accuracy(
    plan: Plan, world: World, played: Played, at_end: NDArray[np.bool_], profile: NDArray[np.int64]
) -> Floats:
    """Return the mean accuracy of each profile over the devices that are there, whichever model they run."""
    number = len(plan.assigned.accuracy)
    devices = np.bincount(profile[played.members.leaves_s >= plan.horizon_s], minlength=number)
    with_new = np.bincount(profile[at_end], minlength=number)
    share = with_new / np.maximum(devices, 1)
    new = np.clip(np.nan_to_num(plan.assigned.accuracy) - world.new.accuracy_drop, 0.0, 1.0)
    return np.asarray(np.where(devices > 0, share * new + (1.0 - share) * plan.old.accuracy, np.nan))


def _latency(plan: Plan, latency_s: Floats, devices: NDArray[np.int64]) -> Floats:
    return plan.heat.percentiles(latency_s, devices, (50, 95, 99)) if devices.any() else np.full(3, np.nan)
