"""The fastest plan that is still safe: first waves, growth and pauses tried out in a told number of rehearsals.

Successive halving: every candidate is rehearsed a few times, the better half as often again, until few are left. What
is better: to stay within what is allowed, or near it; then to be fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from fedlite.errors import FedliteError
from fedlite.rollout.ranking import Standing, standing
from fedlite.rollout.rehearsal import play
from fedlite.rollout.strategy import Stage
from fedlite.rollout.summary import of_world, stacked
from fedlite.rollout.tally import Tally, tally
from fedlite.units import DAY_S, HOUR_S, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.rollout.strategy import Strategy

FIRST: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
GROWTH: Final = (2.0, 4.0, 10.0, 1000.0)
PAUSES_S: Final = (6 * HOUR_S, 12 * HOUR_S, DAY_S, 2 * DAY_S)
"""What is tried: share of the first wave, by how much the next ones grow (a thousand: all), and how long each lasts."""
_FEWEST: Final = 2
_SURVIVORS: Final = 4


@dataclass(frozen=True)
class Allowed:
    """What the user allows: devices that a bad model may reach (95th percentile), and the least chance to detect it."""

    blast_devices: float
    detect: float


@dataclass(frozen=True)
class Candidate:
    """One way of letting devices in: shares that grow, and how long each of them is held."""

    shares: tuple[float, ...]
    holds_s: tuple[float, ...]
    name: str = field(default="", compare=False)

    @classmethod
    def grown(cls, first: float, growth: float, pause_s: float) -> Candidate:
        """Return shares that grow by a factor up to all, with a pause after each but the last."""
        shares, share = [], first
        while share < 1.0:
            shares.append(round(share, 4))
            share *= growth
        name = f"{', '.join(f'{100 * share:.4g}' for share in (*shares, 1.0))} %"
        name += f" every {show(pause_s, 'time')}" if shares else " at once"
        return cls((*shares, 1.0), (*(pause_s for _ in shares), 0.0), name)

    @classmethod
    def of_plan(cls, strategy: Strategy) -> Candidate | None:
        """Return the plan's own shares and pauses, None where they say more than that."""
        if not isinstance(strategy, tuple) or any(
            stage.count or stage.installed is not None or stage.waits_s for stage in strategy
        ):
            return None
        if not all(stage.profiles is None or bool(stage.profiles.all()) for stage in strategy):
            return None
        if len({stage.number for stage in strategy}) < len(strategy):
            return None
        return cls(tuple(stage.share for stage in strategy), tuple(stage.hold_s for stage in strategy), "as planned")

    def stages(self, analyses: tuple[str, ...]) -> tuple[Stage, ...]:
        """Return it as stages, of which each asks all gates that are asked at ends."""
        return tuple(
            Stage(f"{share:.4g}", number, share, hold_s, analyses=analyses)
            for number, (share, hold_s) in enumerate(zip(self.shares, self.holds_s, strict=True), start=1)
        )

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Return it as a plan's `steps`."""
        told: list[dict[str, Any]] = []
        for stage in self.stages(()):
            told.append({"setWeight": f"{100 * stage.share:.6g} %"})
            if stage.hold_s:
                told.append({"pause": {"duration": show(stage.hold_s, "time")}})
        return told


@dataclass(frozen=True)
class Found:
    """A candidate, what it stands at, and how often each world was rehearsed for that."""

    candidate: Candidate
    standing: Standing
    rehearsals: int

    def misses(self, allowed: Allowed) -> float:
        """Return by how much it exceeds what is allowed, 0 if it does not."""
        over = max(0.0, self.standing.blast_devices - allowed.blast_devices) / max(allowed.blast_devices, 1.0)
        return over + max(0.0, allowed.detect - self.standing.detect)


def search(
    made: Rehearsed, allowed: Allowed, rehearsals: int, progress: Callable[[int, int], None] | None = None
) -> list[Found]:
    """Return the candidates that were left, the best one first.

    Raises
    ------
    FedliteError
        If the plan has no bad world, or so few rehearsals are allowed that candidates could not be told apart.
    """
    if not any(world.is_bad for world in made.worlds):
        raise FedliteError("worlds: got none in which anything is wrong, expected one to be safe from; add a bad world")
    analyses = tuple(watch.name for watch in made.plan.watches if math.isinf(watch.every_s))
    horizon_s = made.plan.horizon_s - made.plan.start_s
    own = Candidate.of_plan(made.plan.strategy)
    tried = [*([] if own is None else [own]), *(Candidate.grown(*told) for told in product(FIRST, GROWTH, PAUSES_S))]
    # The same shares at the same times are one plan, however they were come by.
    pool = list(dict.fromkeys(one for one in tried if sum(one.holds_s) < horizon_s))
    least = len(pool) * len(made.worlds) * _FEWEST
    if rehearsals < least:
        raise FedliteError(
            f"--rehearsals: got {rehearsals}, expected {least} or more, {_FEWEST} in each of {len(made.worlds)} worlds"
            f" for {len(pool)} plans; raise it"
        )
    rounds = max(1, math.ceil(math.log2(len(pool) / _SURVIVORS)) + 1)
    tallies: dict[Candidate, list[list[Tally]]] = {one: [[] for _ in made.worlds] for one in pool}
    spent, found = 0, []
    for number in range(rounds):
        times = max(_FEWEST, (rehearsals - spent) // ((rounds - number) * len(pool) * len(made.worlds)))
        for one in pool:
            _rehearse(made, one.stages(analyses), tallies[one], times)
            spent += times * len(made.worlds)
            if progress is not None:
                progress(min(spent, rehearsals), rehearsals)
        found = sorted((_found(made, one, tallies[one]) for one in pool), key=lambda it: _order(it, allowed))
        pool = [it.candidate for it in found[: max(_SURVIVORS, len(found) // 2)]]
    return found[:_SURVIVORS]


def _rehearse(made: Rehearsed, stages: tuple[Stage, ...], tallies: list[list[Tally]], times: int) -> None:
    plan = replace(made.plan, strategy=stages)
    for world, done in zip(made.worlds, tallies, strict=True):
        # Every candidate meets the same dice.
        for replication in range(len(done), len(done) + times):
            done.append(tally(plan, made.fleet, world, play(plan, made.fleet, world, replication, made.charges)))


def _found(made: Rehearsed, candidate: Candidate, tallies: list[list[Tally]]) -> Found:
    worlds = [
        of_world(world, made.plan.watches, stacked(done), made.profiles, made.devices, made.plan.assigned.names)
        for world, done in zip(made.worlds, tallies, strict=True)
    ]
    return Found(candidate, standing({"worlds": worlds}, candidate.name), len(tallies[0]))


def _order(found: Found, allowed: Allowed) -> tuple[float, ...]:
    return (found.misses(allowed), found.standing.time_s, found.standing.blast_devices, -found.candidate.shares[0])
