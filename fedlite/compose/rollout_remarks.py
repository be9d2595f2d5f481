"""What a plan comes to that is in order, but may not be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.compose.rollout_costs import of_server
from fedlite.report.words import count, listed, percent, quantity
from fedlite.scenario.rollout import reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.scenario.rollout.plan import RolloutPlan


_RARELY: Final = 0.05
_CHANCE: Final = 1.5
"""So many times as often as a good model: no better than chance."""


def remarks(plan: RolloutPlan, made: Rehearsed, worlds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return them, each a clause: what gates miss, whom the plan lets in at most, who gets worse, who asks the server.

    Parameters
    ----------
    plan : RolloutPlan
    made : Rehearsed
    worlds : sequence of mapping
        What each world came to: see `of_world`.
    """
    missed = _missed(worlds) if plan.gates else ()
    return [*missed, *reach.remarks(plan), *_worse(made), *_asking(plan, made)]


def _missed(worlds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the worlds in which the gates find nothing, and those in which they find what they find in a good one."""
    bad = [world for world in worlds if world["p_detect"] is not None]
    good = [world["p_false_abort"] for world in worlds if world["p_detect"] is None]
    never = [world["name"] for world in bad if world["p_detect"] < _RARELY]
    by_chance = [world["name"] for world in bad if _RARELY <= world["p_detect"] <= _CHANCE * max(good, default=0.0)]
    if never:
        yield f"the gates all but never find what is wrong in {listed(never)}"
    if by_chance:
        yield f"in {listed(by_chance)} the gates stop about as often as they stop a good model: by chance"


def _worse(made: Rehearsed) -> Iterator[str]:
    new, old = made.plan.assigned.accuracy, made.plan.old.accuracy
    worse = np.flatnonzero((made.plan.assigned.variant_of >= 0) & (made.devices > 0) & (new < old - 1e-9))
    told = [f"{made.profiles[i]} ({percent(float(old[i]))} to {percent(float(new[i]))})" for i in worse.tolist()]
    if told:
        yield f"the variant that fits is less accurate than what runs now on {listed(told)}"


def _asking(plan: RolloutPlan, made: Rehearsed) -> Iterator[str]:
    asked = of_server(plan, made)
    if asked is not None and asked["devices"]:
        yield (
            f"the {count(asked['devices'])} devices that no variant fits ask the server"
            f" {count(asked['inferences_per_day'])} times a day, for {quantity(asked['bytes_per_day'], 'bytes')} and a"
            f" price of {asked['price_per_day']:.4g}; no world's numbers hold that"
        )
