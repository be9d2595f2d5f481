"""What a sequential gate had seen at each moment of one rehearsal: what was observed, and what was not ruled out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.rollout import monitor
from fedlite.rollout.arms import Arms
from fedlite.rollout.gates.confidence import bounds, has_bounds
from fedlite.rollout.rehearsal import play
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fedlite.fleet.state import Fleet
    from fedlite.rollout.charges import Charges
    from fedlite.rollout.gates.evidence import Evidence
    from fedlite.rollout.monitor import Watch
    from fedlite.rollout.plan import Plan
    from fedlite.rollout.worlds import World

    Floats = NDArray[np.float64]

_MOMENTS: Final = 61


@dataclass(frozen=True)
class Watched:
    """One gate over time in one rehearsal, for the group of devices on which it found most.

    Attributes
    ----------
    watch : Watch
    profile : int
        The group; -1 is the fleet.
    times_s : ndarray, shape (k,)
        From the rollout's start, up to its stop or, without one, until nothing more is reported.
    evidence : Evidence
        Of these times.
    strength : float
        The most that the evidence came to, as a logarithm; from log(1 / alpha) on the gate trips.
    stop_s : float
        When this gate tripped, infinity if it did not.
    """

    watch: Watch
    profile: int
    times_s: Floats
    evidence: Evidence
    strength: float
    stop_s: float

    def bounds(self) -> tuple[Floats, Floats, Floats]:
        """Return the observed value and the bounds of what is not ruled out, (k,) each: see `confidence.bounds`."""
        gate: Any = self.watch.gate
        return bounds(gate, self.evidence)


def watched(
    plan: Plan, fleet: Fleet, world: World, replication: int, charges: Charges | None = None
) -> Iterator[Watched]:
    """Yield what each gate that has bounds saw in a rehearsal that is played again."""
    watches = [watch for watch in plan.watches if has_bounds(watch.gate)]
    if not watches:
        return
    played = play(plan, fleet, world, replication, charges)
    arms = Arms(plan, fleet, world, played.members, replication)
    # Who was taken back had reported, too.
    back = played.delivery.state == State.ROLLED_BACK.code
    delivery = replace(played.delivery, state=np.where(back, State.UPDATED.code, played.delivery.state))
    for watch in watches:
        treated, control = arms.of(watch.metric, delivery)
        trip = played.trip if played.trip is not None and played.trip.watch == watch else None
        until_s = plan.horizon_s if played.trip is None else played.trip.when_s
        came_s = treated.reports.reported_s[treated.reports.reported_s <= until_s]
        if not came_s.size:
            continue
        end_s = until_s if played.trip is not None else float(came_s.max())
        times_s = _moments_s(plan.start_s, end_s, came_s)
        groups = [-1] if not watch.by_class else np.unique(treated.profile).tolist()
        if trip is not None:
            groups = [trip.profile]
        told = [(group, monitor.evidence_at(watch, treated, control, times_s, group)) for group in groups]
        found = [
            Watched(watch, group, times_s - plan.start_s, evidence, _strength(watch, evidence),
                    math.inf if trip is None else trip.when_s - plan.start_s)
            for group, evidence in told
        ]  # fmt: skip
        yield max(found, key=lambda one: one.strength)


def _moments_s(start_s: float, end_s: float, came_s: Floats) -> Floats:
    """Return half of the moments evenly over time, and half where reports come in."""
    evenly = np.linspace(start_s, end_s, _MOMENTS)
    return np.unique(np.concatenate([evenly, np.quantile(came_s, np.linspace(0.0, 1.0, _MOMENTS))]))


def _strength(watch: Watch, evidence: Evidence) -> float:
    gate: Any = watch.gate
    return float(np.max(gate.log_evidence(evidence)))
