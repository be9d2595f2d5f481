"""When reports of a good build come in that nobody stops: what a plan's gates have to go by, period by period."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fedlite.rollout import monitor
from fedlite.rollout.arms import Arms
from fedlite.rollout.rehearsal import play
from fedlite.rollout.strategy import Ramp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.fleet.state import Fleet
    from fedlite.rollout.charges import Charges
    from fedlite.rollout.letting_in import Stretch
    from fedlite.rollout.monitor import Arm, Watch
    from fedlite.rollout.plan import Plan
    from fedlite.rollout.worlds import World

    Ids = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Period:
    """From the letting in of some devices until the next ones are let in."""

    label: str
    number: int
    until_s: float


class Arrivals:
    """Reports in the first replication of a plan, as if it had no gates.

    Parameters
    ----------
    plan : Plan
    fleet : Fleet
    good : World
        One in which the new model is as the plan takes it to be.
    charges : Charges or None
    """

    def __init__(self, plan: Plan, fleet: Fleet, good: World, charges: Charges | None) -> None:
        self._plan = plan
        self._played = play(replace(plan, watches=()), fleet, good, 0, charges)
        arms = Arms(plan, fleet, good, self._played.members, 0)
        self._arms = {watch.metric: arms.of(watch.metric, self._played.delivery) for watch in plan.watches}
        self._profile = fleet.population.profile_of.astype(np.int64)

    @property
    def periods(self) -> tuple[Period, ...]:
        """Those that begin before the horizon; a rate is one period, or none if there is nobody to let in."""
        found: dict[int, Period] = {}
        for stretch, until_s in self._stretches:
            label = found[stretch.number].label if stretch.number in found else stretch.label
            found[stretch.number] = Period(label, stretch.number, until_s)
        told = tuple(found.values())
        return (
            tuple(replace(last, label="all") for last in told[-1:]) if isinstance(self._plan.strategy, Ramp) else told
        )

    def let_in(self, period: Period, group: int = -1) -> int:
        """Return the devices of a profile (-1: of the fleet) that were let in until a period's end, and given it."""
        mine = (self._profile == group) | (group < 0)
        return int((mine & ~self._played.members.held_out & (self._played.let_in_s < period.until_s)).sum())

    def seen(self, watch: Watch, period: Period, group: int = -1) -> tuple[Ids, Ids | None]:
        """Return how many reports of each arm there are at the looks of a gate until a period's end, each (k,)."""
        when_s = self._looks_s(watch, period)
        treated, control = self._arms[watch.metric]
        return _known(treated, group, when_s), None if control is None else _known(control, group, when_s)

    def reported(self, watch: Watch, period: Period, profiles: int) -> Ids:
        """Return how many devices of each profile (P,) have reported at the last look of a gate in a period."""
        when_s = self._looks_s(watch, period)
        treated, _ = self._arms[watch.metric]
        known = treated.reports.reported_s <= (when_s[-1] if when_s.size else -np.inf)
        return np.bincount(treated.profile[known], minlength=profiles)

    @property
    def _stretches(self) -> list[tuple[Stretch, float]]:
        """Each with the begin of the next one."""
        begins_s = [*(stretch.begin_s for stretch in self._played.waves), self._plan.horizon_s]
        return list(zip(self._played.waves, begins_s[1:], strict=True))

    def _looks_s(self, watch: Watch, period: Period) -> Floats:
        looks = [np.empty(0)]
        for stretch, next_s in self._stretches:
            if not watch.from_stage <= stretch.number <= period.number:
                continue
            analysed = watch.name in stretch.analyses
            start_s = self._plan.start_s
            looks.append(monitor.looks_s(watch, start_s, stretch.begin_s, stretch.end_s, analysed=analysed))
            looks.append(monitor.looks_s(watch, start_s, stretch.end_s, next_s, analysed=False))
        return np.concatenate(looks)


def _known(arm: Arm, group: int, when_s: Floats) -> Ids:
    mine = (arm.profile == group) | (group < 0)
    return np.searchsorted(np.sort(arm.reports.reported_s[mine]), when_s, side="right")
