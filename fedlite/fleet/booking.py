"""Charging devices for jobs that are over, and the rows that the ledger keeps of them; knows no Flower."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet.outcomes import Outcome

if TYPE_CHECKING:
    from fedlite.fleet.connections import Links
    from fedlite.fleet.demands import Demands
    from fedlite.fleet.ledger import Ledger
    from fedlite.fleet.state import Fleet
    from fedlite.fleet.timeline import Timeline

_OUTCOMES: Final = np.array([str(outcome) for outcome in Outcome])
"""By their codes."""

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
_Arrays = TypeVar("_Arrays", "Timeline", "Links", "Demands", "Facts")


@dataclass(frozen=True)
class Facts:
    """What the ledger says about n jobs beyond time and energy. All arrays have shape (n,).

    `energy_low` and `energy_high` are factors around a job's predicted compute energy.
    """

    plan: NDArray[np.str_]
    down_raw_bytes: NDArray[np.int64]
    up_raw_bytes: NDArray[np.int64]
    examples: NDArray[np.int64]
    steps: NDArray[np.int64]
    loss: Floats
    reason: NDArray[np.object_]
    """Why the client's own code failed, in one line; "" where it did not."""
    energy_low: Floats
    energy_high: Floats
    diverged: NDArray[np.bool_]
    """Jobs whose update the server throws away as it comes, for it is no number."""


@dataclass(frozen=True)
class Jobs:
    """n jobs of one batch whose end is known. Arrays have shape (n,)."""

    round_: int
    kind: str
    devices: Ids
    start_s: float
    battery_before_j: Floats
    plugged: NDArray[np.bool_]
    """Whose charger pays, as it was when the jobs began."""
    events: Timeline
    links: Links
    demands: Demands
    facts: Facts

    def take(self, index: Ids) -> Jobs:
        """Return some of the jobs."""
        return replace(
            self,
            devices=self.devices[index],
            battery_before_j=self.battery_before_j[index],
            plugged=self.plugged[index],
            events=_taken(self.events, index),
            links=_taken(self.links, index),
            demands=_taken(self.demands, index),
            facts=_taken(self.facts, index),
        )


def _taken(arrays: _Arrays, index: Ids) -> _Arrays:
    """Return some of the rows of a record of arrays."""
    return replace(arrays, **{field.name: getattr(arrays, field.name)[index] for field in fields(arrays)})


def book(fleet: Fleet, ledger: Ledger, jobs: Jobs) -> None:
    """Charge the devices of the jobs and write their rows."""
    devices, events, facts, demands = jobs.devices, jobs.events, jobs.facts, jobs.demands
    metered = jobs.links.metered
    energy_j = events.compute_j + events.radio_j
    battery_j = np.where(jobs.plugged, 0.0, energy_j)
    down_bytes = np.round(demands.down_bytes * events.down_share).astype(np.int64)
    up_bytes = np.round(demands.up_bytes * events.up_share).astype(np.int64)
    end_s = jobs.start_s + events.total_s
    fleet.charge(
        devices,
        jobs.start_s,
        until_s=end_s,
        energy_j=energy_j,
        battery_j=battery_j,
        metered_bytes=np.where(metered, down_bytes + up_bytes, 0.0),
    )
    fleet.leave_awake(devices, jobs.links.home, jobs.start_s + events.awake_s)
    if fleet.check_ins is not None:
        fleet.check_ins.end_work(devices, events.outcome, jobs.start_s, end_s)
    before_j = np.where(fleet.on_mains(devices), np.nan, jobs.battery_before_j)
    profile = fleet.population.profile_of[devices]
    worked = (events.train_s > 0) | (events.outcome == Outcome.ARRIVED.code)
    ledger.append(
        {
            "round": jobs.round_,
            "kind": jobs.kind,
            "device": devices,
            "profile": fleet.hardware.name[profile],
            "tier": fleet.hardware.tier[profile],
            "plan": facts.plan,
            "access": jobs.links.access,
            "outcome": _OUTCOMES[events.outcome],
            "reason": np.where(events.outcome == Outcome.CLIENT_ERROR.code, facts.reason, ""),
            "start_s": jobs.start_s,
            "down_s": events.down_s,
            "train_s": events.train_s,
            "up_s": events.up_s,
            "end_s": end_s,
            "compute_j": events.compute_j,
            "radio_j": events.radio_j,
            "tail_j": events.tail_j,
            "energy_j": energy_j,
            "energy_low_j": energy_j - _beside(jobs, 1.0 - facts.energy_low, 1.0 - jobs.links.radio_low),
            "energy_high_j": energy_j + _beside(jobs, facts.energy_high - 1.0, jobs.links.radio_high - 1.0),
            "battery_j": battery_j,
            "mains_j": energy_j - battery_j,
            "down_bytes": down_bytes,
            "up_bytes": up_bytes,
            "down_raw_bytes": np.round(facts.down_raw_bytes * events.down_share),
            "up_raw_bytes": np.round(facts.up_raw_bytes * events.up_share),
            "metered": metered,
            "peak_bytes": demands.peak_bytes,
            "battery_before_j": before_j,
            "battery_after_j": before_j - battery_j,
            "examples": np.where(worked, facts.examples, 0),
            "steps": np.where(worked, facts.steps, 0),
            "loss": np.where(events.outcome == Outcome.ARRIVED.code, facts.loss, np.nan),
        }
    )


def _beside(jobs: Jobs, compute: Floats, radio: Floats) -> Floats:
    """Return how far the energy of jobs may be off to one side, given how far its parts may be, as shares of them.

    Computing and radio are modelled apart, so their errors are taken as independent and add in quadrature.
    """
    return np.asarray(np.hypot(jobs.events.compute_j * compute, jobs.events.radio_j * radio))
