"""The table of device classes that a run leaves: one row per profile that some device of its fleet has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.fleet.hardware import ram_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.compose.record import Record
    from fedlite.devices.profile import DeviceProfile


@dataclass(frozen=True)
class ClassFacts:
    """What one kind of campaign knows of a device class; the rest of its row, every record says.

    `calibration` is None where nothing was predicted before the run. `train_s` is the time of a round's local training.
    `plan_reason` says why a plan was chosen, `plan_remark` what it saves and what not.
    """

    profile: DeviceProfile
    plan: str
    train_s: float
    peak_bytes: int
    excluded: str = ""
    plan_reason: str = ""
    plan_remark: str = ""
    calibration: str | None = None


def fleet_rows(record: Record, classes: Sequence[ClassFacts]) -> list[dict[str, Any]]:
    """Return the rows; a class without a device has none."""
    ledger, counts = record.ledger.columns(), device_counts(record)
    train = ledger["kind"] == "train"
    came, came_j = _check_ins(record)
    places = {profile.name: place for place, profile in enumerate(record.fleet.population.profiles)}
    rows = []
    for facts in classes:
        if facts.profile.name not in counts:
            continue
        position = places[facts.profile.name]
        mine = train & (ledger["profile"] == facts.profile.name)
        rows.append(
            {
                "profile": facts.profile.name,
                "tier": str(facts.profile.tier),
                "plan": facts.plan,
                "devices": counts[facts.profile.name],
                "excluded_reason": facts.excluded,
                "plan_reason": facts.plan_reason,
                "plan_remark": facts.plan_remark,
                **({} if facts.calibration is None else {"calibration": facts.calibration}),
                "train_s_per_round": facts.train_s,
                "peak_bytes": facts.peak_bytes,
                "job_ram_bytes": int(ram_bytes(facts.profile, record.fleet.budgets)),
                "participations": int(mine.sum()),
                "arrived": int((mine & (ledger["outcome"] == "arrived")).sum()),
                "check_ins": int(came[position]),
                "check_in_j": float(came_j[position]),
            }
        )
    return rows


def _check_ins(record: Record) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many check-ins the devices of each profile made and what they cost, joules."""
    population, attendance = record.fleet.population, record.fleet.check_ins
    n = len(population.profiles)
    if attendance is None:
        return np.zeros(n), np.zeros(n)
    of, visits = population.profile_of, attendance.visits
    came, came_j = (
        np.asarray(np.bincount(of, values, minlength=n), dtype=np.float64) for values in (visits.count, visits.energy_j)
    )
    return came, came_j


def device_counts(record: Record) -> dict[str, int]:
    """Return how many devices have each profile that any has: a small fleet may draw none of a rare one."""
    population = record.fleet.population
    counts = np.bincount(population.profile_of, minlength=len(population.profiles)).tolist()
    return {profile.name: n for profile, n in zip(population.profiles, counts, strict=True) if n}
