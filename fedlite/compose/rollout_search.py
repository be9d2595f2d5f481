"""The fastest plan that is shown to be safe: first waves, growth and pauses tried out in a told number of rehearsals.

Successive halving finds a few that may do: all are rehearsed a few times, the better half as often again, until few are
left. Those were chosen for what chance gave them, so nothing is told of that: the last of them, and the plan as it is,
have a trial on dice that none has met, and only bounds of what comes of it are held against what is allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compose.rollout_budget import ON_TRIAL, PERCENTILE, WRONG, Allowed, Budget
from fedlite.compose.rollout_models import variants
from fedlite.compose.rollout_plan import rehearsed
from fedlite.compose.rollout_pool import open_rehearsals
from fedlite.rollout.bounds import chance_at_least, percentile_at_least, percentile_at_most
from fedlite.rollout.candidates import AS_PLANNED, Candidate, within
from fedlite.rollout.ranking import Standing, standing
from fedlite.rollout.summary import JUDGED, judged
from fedlite.scenario.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fedlite.compose.backend import Wanted
    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.compose.rollout_pool import Rehearsals, Runs
    from fedlite.rollout.plan import Plan
    from fedlite.scenario.rollout.plan import RolloutPlan


@dataclass(frozen=True)
class Found:
    """A way of letting devices in, and what so many rehearsals of each world say of it.

    Attributes
    ----------
    candidate : Candidate
    standing : Standing
        What was seen.
    blast_at_least : float
        What the devices hit are at least, the 95th percentile: a bound.
    blast_at_most, detect_at_least : float
        What it may truly be: bounds from a trial; while searching, the most and the share that was seen.
    rehearsals : int
        Of each world.
    """

    candidate: Candidate
    standing: Standing
    blast_at_least: float
    blast_at_most: float
    detect_at_least: float
    rehearsals: int

    def misses(self, allowed: Allowed) -> float:
        """Return by how much it may exceed what is allowed, 0 if it does not."""
        over = max(0.0, self.blast_at_most - allowed.blast_devices) / max(allowed.blast_devices, 1.0)
        return over + max(0.0, allowed.detect - self.detect_at_least)

    def seems_within(self, allowed: Allowed) -> bool:
        """Tell whether what was seen is within what is allowed, whatever it may truly be."""
        return self.standing.blast_devices <= allowed.blast_devices and self.standing.detect >= allowed.detect

    @property
    def costs(self) -> tuple[float, ...]:
        """What should be low."""
        return (self.standing.time_s, self.blast_at_most, -self.detect_at_least)

    def beats(self, other: Found) -> bool:
        """Tell whether it is at least as fast and as safe, and better in something."""
        return self.costs != other.costs and all(a <= b for a, b in zip(self.costs, other.costs, strict=True))


@dataclass(frozen=True)
class Searched:
    """What a search came to: the plans that were on trial, those within what is allowed first, the fastest on top."""

    allowed: Allowed
    plans: tuple[Found, ...]
    rehearsals: int
    """Made in all."""
    plan: Plan = field(compare=False, repr=False)

    def steps(self, one: Found) -> list[dict[str, Any]] | None:
        """Return what a plan on trial has for `steps`; None for the plan as it is."""
        return one.candidate.steps(self.plan)

    @property
    def best(self) -> Found:
        """The fastest that is within what is allowed, or the nearest to that."""
        return self.plans[0]

    @property
    def found(self) -> bool:
        """Whether any plan is shown to be within what is allowed."""
        return self.best.misses(self.allowed) == 0.0


def optimise(
    plan: RolloutPlan,
    allowed: Allowed,
    rehearsals: int | None = None,
    *,
    settings: Wanted,
    progress: Callable[[int, int], None] | None = None,
) -> Searched:
    """Search first waves, growth and pauses for the fastest plan that is shown to stay within what is allowed.

    Parameters
    ----------
    plan : RolloutPlan
    allowed : Allowed
    rehearsals : int, optional
        At most so many in all; twice the least number if not given.
    settings : Settings
        Backend and actors; no number depends on them.
    progress : callable, optional
        Called with the rehearsals done and those there are.

    Raises
    ------
    FedliteError
        Whatever a user can mend; see `Budget.of`, too.
    """
    told = variants(plan.model, [load_profile(name) for name in plan.fleet.mix])
    made = rehearsed(plan, told)
    budget = Budget.of(made, allowed, rehearsals)
    with open_rehearsals(plan, told, settings, budget.rehearsals, progress=progress) as pool:
        done = search(made, allowed, budget, pool)
    if progress is not None:
        # What does not go into the plans on trial without a remainder is not spent.
        progress(done.rehearsals, done.rehearsals)
    return done


def search(made: Rehearsed, allowed: Allowed, budget: Budget, pool: Rehearsals) -> Searched:
    """Search by rehearsals on a pool, and return what was on trial."""
    book = _Book(pool)
    every = list(range(len(made.worlds)))
    bad = [world for world in every if made.worlds[world].is_bad]
    left, met = within(made.plan.horizon_s - made.plan.start_s), 0
    for number, size in enumerate(budget.sizes):
        times = budget.times(number, book.spent)
        seen = book.rehearse([*left, AS_PLANNED], bad if number else every, met, met + times)
        met += times
        rivals = [_found(made, one, runs) for one, runs in seen.items() if one != AS_PLANNED]
        smaller = budget.sizes[number + 1] if number + 1 < len(budget.sizes) else size
        rivals = _least_beaten(rivals, allowed)[:smaller]
        left = [one.candidate for one in rivals]
    chosen = [AS_PLANNED, *_chosen([*rivals, _found(made, AS_PLANNED, seen[AS_PLANNED])], allowed)]
    times = (budget.rehearsals - book.spent) // (len(chosen) * len(every))
    # Nobody has met these dice, and what was seen on others is forgotten.
    trial = _Book(pool)
    fresh = trial.rehearse(chosen, every, met, met + times)
    plans = [_found(made, one, runs, WRONG / len(chosen)) for one, runs in fresh.items()]
    plans.sort(key=lambda one: _order(one, allowed))
    return Searched(allowed, tuple(plans), book.spent + trial.spent, made.plan)


class _Book:
    """What every plan came to in every world, rehearsal after rehearsal: all meet the same dice."""

    def __init__(self, pool: Rehearsals) -> None:
        self._pool = pool
        self._runs: dict[Candidate, dict[int, Runs]] = {}
        self.spent = 0

    def rehearse(
        self, plans: Sequence[Candidate], worlds: Sequence[int], first: int, last: int
    ) -> dict[Candidate, dict[int, Runs]]:
        """Rehearse plans in worlds, and return what is known of them in all worlds by now."""
        # All are on their way before the first is waited for.
        tickets = {(one, world): self._pool.start(world, first, last, one) for one in plans for world in worlds}
        self.spent += len(tickets) * (last - first)
        for (one, world), of_one in tickets.items():
            more = self._pool.collect(of_one)
            known = self._runs.setdefault(one, {}).get(world)
            self._runs[one][world] = {
                name: more[name] if known is None else np.concatenate([known[name], more[name]]) for name in JUDGED
            }
        return {one: self._runs[one] for one in plans}


def _found(made: Rehearsed, candidate: Candidate, runs: Mapping[int, Runs], alpha: float | None = None) -> Found:
    """Return what rehearsals say of a plan, with bounds that each err by alpha if that is given."""
    told = standing({"worlds": [judged(made.worlds[world], runs[world]) for world in sorted(runs)]}, candidate.name)
    bad = [runs[world] for world in sorted(runs) if made.worlds[world].is_bad]
    number = len(bad[0]["tripped"])
    least = max(percentile_at_least(of_one["blast_devices"], PERCENTILE, WRONG / ON_TRIAL) for of_one in bad)
    if alpha is None:
        most = max(float(of_one["blast_devices"].max()) for of_one in bad)
        return Found(candidate, told, least, most, told.detect, number)
    # To call a plan safe that is not, the bound of the very world must err in which it is not: alpha is not shared.
    most = max(percentile_at_most(of_one["blast_devices"], PERCENTILE, alpha) for of_one in bad)
    detect = min(chance_at_least(int((of_one["tripped"] >= 0).sum()), number, alpha) for of_one in bad)
    return Found(candidate, told, least, most, detect, number)


def _order(one: Found, allowed: Allowed) -> tuple[float, ...]:
    # Of equal ones the plan as it is, then the larger first wave.
    first = one.candidate.shares[0] if one.candidate.shares else math.inf
    return (one.misses(allowed), one.standing.time_s, one.blast_at_most, -first)


def _least_beaten(rivals: Sequence[Found], allowed: Allowed) -> list[Found]:
    """Return plans by how many others are as fast and as safe, those that are shown to break the limit last.

    Not by speed: on so few dice many seem safe that are not, and the slower ones are needed, too.
    """
    return sorted(
        rivals,
        key=lambda one: (
            one.blast_at_least > allowed.blast_devices,
            sum(other.beats(one) for other in rivals),
            *_order(one, allowed),
        ),
    )


def _chosen(seen: Sequence[Found], allowed: Allowed) -> list[Candidate]:
    """Return who has a trial beside the plan itself: the best, the safest, one between, and who is next if need be."""
    # Of plans that the same dice hit alike, only the best is of use.
    alike = {one.costs[1:]: one for one in sorted(seen, key=lambda it: _order(it, allowed), reverse=True)}
    ordered = sorted(alike.values(), key=lambda it: _order(it, allowed))
    ladder: list[Found] = []
    for one in ordered:
        if not ladder or one.blast_at_most < ladder[-1].blast_at_most:
            ladder.append(one)
    wanted = dict.fromkeys((ladder[0], ladder[-1], ladder[len(ladder) // 2], *ordered))
    return [one.candidate for one in wanted if one.candidate != AS_PLANNED][: ON_TRIAL - 1]
