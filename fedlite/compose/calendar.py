"""A run on the calendar: when its rounds were, how often it asked whom, and what that took from a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet.outcomes import CONTRIBUTED
from fedlite.units import DAY_S, HOUR_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.fleet.state import Fleet
    from fedlite.fleet.visits import Visits

Floats = NDArray[np.float64]

_HOURS: Final = np.arange(24)
_P95: Final = 95


def calendar(
    fleet: Fleet, ledger: Mapping[str, NDArray[Any]], rounds: Sequence[Mapping[str, Any]], start_s: float, end_s: float
) -> dict[str, Any] | None:
    """Return what a summary tells of a run's calendar, None where devices did not check in.

    Parameters
    ----------
    fleet : Fleet
    ledger : columns of jobs
    rounds : rows of rounds
    start_s, end_s : float
        Virtual time of the run.
    """
    if fleet.check_ins is None:
        return None
    visits, lasted_s = fleet.check_ins.visits, max(end_s - start_s, 1.0)
    may = np.flatnonzero(~fleet.excluded)
    jobs = np.bincount(ledger["device"], minlength=len(fleet))
    came_back = np.isin(ledger["outcome"], CONTRIBUTED)
    heard = np.bincount(ledger["device"][came_back], minlength=len(fleet))
    battery_j, metered_bytes = _per_device(fleet, ledger, visits)
    mobile = may[~fleet.on_mains(may)]
    return {
        "lasted_s": lasted_s,
        "rounds_per_hour": _rounds_per_hour(rounds, start_s, end_s),
        "check_ins_by_hour": visits.by_hour.tolist(),
        "check_ins": int(visits.sums["check_ins"]),
        "check_ins_in_vain": int(visits.in_vain.sum()),
        "check_in_j": visits.sums["energy_j"],
        "participations": spread(jobs[may].astype(np.float64), most=True),
        "never_heard": _share(heard[may] == 0),
        "never_checked_in": _share(visits.count[may] == 0),
        "battery_j": spread(battery_j[mobile]),
        "battery_share": spread(battery_j[mobile] / fleet.capacity_of(mobile)),
        "metered_bytes": spread(metered_bytes[may]),
    }


def _per_device(fleet: Fleet, ledger: Mapping[str, NDArray[Any]], visits: Visits) -> tuple[Floats, Floats]:
    """Return what every device spent out of its battery and over metered networks, check-ins included."""
    device, n = ledger["device"], len(fleet)
    drawn_j = np.where(fleet.on_mains(device), 0.0, ledger["battery_j"])
    moved = (ledger["up_bytes"] + ledger["down_bytes"]) * ledger["metered"]
    return (
        np.bincount(device, drawn_j, minlength=n) + visits.battery_j,
        np.bincount(device, moved, minlength=n) + visits.metered_bytes,
    )


def _rounds_per_hour(rounds: Sequence[Mapping[str, Any]], start_s: float, end_s: float) -> list[float]:
    """Return the rounds closed per hour at each hour of the fleet's day; not-a-number where the run never was."""
    ends_s = np.array([row["end_s"] for row in rounds if row["round"] > 0], dtype=np.float64)
    closed = np.bincount((ends_s % DAY_S // HOUR_S).astype(np.int64), minlength=24)
    until = np.array([_seconds_in_hours(time_s) for time_s in (start_s, end_s)])
    hours = (until[1] - until[0]) / HOUR_S
    return [float(value) for value in np.divide(closed, hours, out=np.full(24, np.nan), where=hours > 0)]


def _seconds_in_hours(time_s: float) -> Floats:
    """Return how much time has passed in each hour of the day until `time_s`, (24,)."""
    days, into_s = divmod(time_s, DAY_S)
    return np.asarray(days * HOUR_S + np.clip(into_s - _HOURS * HOUR_S, 0.0, HOUR_S))


def spread(values: Floats, *, most: bool = False) -> dict[str, float]:
    """Return mean and 95th percentile over devices, and the most if asked; zeros without any."""
    if not len(values):
        return {"mean": 0.0, "p95": 0.0}
    told = {"mean": float(values.mean()), "p95": float(np.percentile(values, _P95))}
    return {**told, "most": float(values.max())} if most else told


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0
