"""What a plan comes to on its fleet before anybody plays it: its steps, and what each class of devices is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.compose.rollout_costs import of_server, per_1000
from fedlite.rollout.states import STATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.scenario.rollout.plan import RolloutPlan

    Floats = NDArray[np.float64]


def facts(plan: RolloutPlan, made: Rehearsed) -> dict[str, Any]:
    """Return what stays the same in all rehearsals, as plain values.

    Returns
    -------
    dict
        `profiles`: names in the order of the arrays of replications; `steps`: label and number of each stage, in the
        order of their begins; `classes`: what each class that is there runs before and after, by name; `server`: what
        is asked of it by devices that no variant fits.
    """
    strategy = made.plan.strategy
    if isinstance(strategy, tuple):
        steps = [{"label": stage.label, "number": stage.number} for stage in strategy]
    else:
        steps = [{"label": "rate", "number": 1}]
    there = np.flatnonzero(made.devices).tolist()
    return {
        "description": plan.description,
        "profiles": list(made.profiles),
        "steps": steps,
        "classes": {
            made.profiles[index]: _class(made, index) | {"per_1000": per_1000(plan, made, index)} for index in there
        },
        "server": of_server(plan, made),
    }


def _class(made: Rehearsed, index: int) -> dict[str, Any]:
    """Return variant, or why there is none, and accuracy and share of the battery per day, before and in each world."""
    assigned, old = made.plan.assigned, made.plan.old
    fits = bool(assigned.variant_of[index] >= 0)
    someone = np.flatnonzero(made.fleet.population.profile_of == index)[:1]
    capacity_j = made.fleet.capacity_of(someone)[0]

    def per_day(inference_j: Floats, latency_s: Floats, factor: Floats) -> float | None:
        """On mains there is no battery to take from, and where a model cannot run nothing is known."""
        warm = made.plan.heat.slowdown(latency_s * factor)[index]
        share = inference_j[index] * factor[index] * warm * made.plan.inferences_per_day / capacity_j
        return float(share) if np.isfinite(share) and np.isfinite(capacity_j) else None

    def new(world: Any) -> dict[str, float | None]:
        accuracy = float(np.clip(assigned.accuracy[index] - world.new.accuracy_drop[index], 0.0, 1.0))
        factor = world.new.latency_factor
        return {"accuracy": accuracy, "battery_per_day": per_day(assigned.inference_j, assigned.latency_s, factor)}

    return {
        "variant": assigned.names[assigned.variant_of[index]] if fits else None,
        "reason": None if fits else STATES[assigned.why[index]].value,
        "old": {
            "accuracy": _finite(old.accuracy[index]),
            "battery_per_day": per_day(old.inference_j, old.latency_s, old.behaviour.latency_factor),
        },
        "new": {world.name: new(world) for world in made.worlds} if fits else {},
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
