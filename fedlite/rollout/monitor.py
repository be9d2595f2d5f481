"""The gates of a plan at work: at which look the first of them trips, and what it does then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.rollout.gates.evidence import Evidence, expected_failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Gate
    from fedlite.rollout.signals import Reports

    Floats = NDArray[np.float64]
    Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Watch:
    """A gate in its place.

    Attributes
    ----------
    name, metric : str
    gate : Gate
        Judges one group of devices. Where each class is judged apart, its level is already divided among them.
    by_class : bool
        Judge each profile apart; else the fleet as a whole.
    on_fail : str
        "abort": nobody begins a download any more; "rollback": whoever has the new model goes back, too; "pause":
        nobody more is let in.
    every_s : float
        Time between two looks, from the rollout's start on; infinity: only where a stage asks for its analysis.
    from_stage : int
        Number of the stage from whose begin on it looks.
    failure_limit : int
        How many looks may find a regression before one counts.
    """

    name: str
    metric: str
    gate: Gate
    by_class: bool = False
    on_fail: str = "abort"
    every_s: float = np.inf
    from_stage: int = 1
    failure_limit: int = 0


@dataclass(frozen=True)
class Arm:
    """Reports of one arm, with the profile of each device, (n,)."""

    reports: Reports
    profile: Ids


@dataclass(frozen=True)
class Trip:
    """A gate that tripped: which, when, at which profile (-1: the fleet), after how many reports of treated devices."""

    watch: Watch
    when_s: float
    profile: int
    devices: int


def looks_s(watch: Watch, start_s: float, from_s: float, until_s: float, *, analysed: bool) -> Floats:
    """Return when a gate looks in (from_s, until_s]: at its own period, and at the end where that asks for it."""
    looks = np.empty(0)
    if np.isfinite(watch.every_s):
        first = np.floor((from_s - start_s) / watch.every_s) + 1
        last = np.floor((until_s - start_s) / watch.every_s)
        looks = start_s + watch.every_s * np.arange(first, last + 1)
    if analysed and (not looks.size or looks[-1] < until_s):
        looks = np.append(looks, until_s)
    return looks


def first_trip(watch: Watch, treated: Arm, control: Arm | None, when_s: Floats) -> Trip | None:
    """Return the first look at which a gate trips, in any of its groups; None if it never does."""
    if not when_s.size:
        return None
    groups = np.unique(treated.profile) if watch.by_class else np.array([-1])
    trips = [trip for group in groups.tolist() if (trip := _trip(watch, treated, control, when_s, group)) is not None]
    return min(trips, key=lambda trip: (trip.when_s, trip.profile), default=None)


def evidence_at(watch: Watch, treated: Arm, control: Arm | None, when_s: Floats, group: int) -> Evidence:
    """Return what a gate that reads counts or sums has of a group (-1: the fleet) at these times."""
    other = None if control is None else _sorted(control, group)
    return _evidence(watch.gate, _sorted(treated, group), other, when_s)


def _trip(watch: Watch, treated: Arm, control: Arm | None, when_s: Floats, group: int) -> Trip | None:
    own, other = _sorted(treated, group), None if control is None else _sorted(control, group)
    known = np.searchsorted(own.reported_s, when_s, side="right")
    if watch.gate.reads == "samples":
        tripped = np.array([_trips(watch.gate, own, other, look_s) for look_s in when_s])
    else:
        tripped = watch.gate.trips(_evidence(watch.gate, own, other, when_s))
    tripped = np.cumsum(tripped) > watch.failure_limit
    if not tripped.any():
        return None
    first = int(np.argmax(tripped))
    return Trip(watch, float(when_s[first]), group, int(known[first]))


def _sorted(arm: Arm, group: int) -> Reports:
    """Return the reports of a group in the order in which they come; equal times in the order of the devices."""
    reports = arm.reports
    mine = np.flatnonzero(np.isfinite(reports.reported_s) & ((arm.profile == group) | (group < 0)))
    order = mine[np.argsort(reports.reported_s[mine], kind="stable")]
    return type(reports)(reports.value[order], reports.reported_s[order])


def _evidence(gate: Gate, own: Reports, other: Reports | None, when_s: Floats) -> Evidence:
    n, total, squares = _sums(own, when_s)
    if other is None or not gate.two_arms:
        return Evidence(n, total, squares)
    there = _sums(other, when_s)
    return Evidence(n, total, squares, *there, expected=expected_failures(n, total, there[0], there[1]))


def _sums(reports: Reports, when_s: Floats) -> tuple[Ids, Floats, Floats]:
    known = np.searchsorted(reports.reported_s, when_s, side="right")
    totals = np.concatenate([[0.0], np.cumsum(reports.value)])
    squares = np.concatenate([[0.0], np.cumsum(reports.value**2)])
    return known, totals[known], squares[known]


def _trips(gate: Gate, own: Reports, other: Reports | None, look_s: float) -> bool:
    """Ask a gate of samples; of two arms of which one is still silent it can say nothing."""
    known = [one.value[: np.searchsorted(one.reported_s, look_s, side="right")] for one in (own, other) if one]
    return all(len(one) for one in known) and bool(gate.trips(Evidence.of_samples(*known)))


def earliest(trips: Sequence[Trip | None]) -> Trip | None:
    """Return the trip that comes first; at the same time that of the gate named first in the plan."""
    return min((trip for trip in trips if trip is not None), key=lambda trip: trip.when_s, default=None)
