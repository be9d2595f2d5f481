"""What a plan comes to that is in order, but may not be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlite.compose.rollout_costs import of_server
from fedlite.report.words import count, listed, percent, quantity
from fedlite.scenario.rollout import reach

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.scenario.rollout.plan import RolloutPlan


def remarks(plan: RolloutPlan, made: Rehearsed) -> list[str]:
    """Return them, each a clause: whom the plan lets in at most, who gets worse, and who asks the server."""
    return [*reach.remarks(plan), *_worse(made), *_asking(plan, made)]


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
