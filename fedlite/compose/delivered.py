"""What the devices of each plan of a run get in the end, and how good it is: not always the model that was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.compose.shipping import Shipped, ship

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.compose.fleet import DeviceClass
    from fedlite.compose.learning import Learning
    from fedlite.compression.plan import Plan


def delivered_models(
    classes: Sequence[DeviceClass], learning: Learning, final: Sequence[NDArray[Any]]
) -> list[dict[str, Any]]:
    """Return one record for each plan whose devices get something else than the full model as it was trained.

    Returns
    -------
    list of dict
        plan, profiles, stored_bytes, the metrics of the task on its test rows, and what the deliveries found out.
    """
    by_plan: dict[Plan, list[str]] = {}
    for one in classes:
        if one.plan.deliveries or not one.plan.is_full:
            by_plan.setdefault(one.plan, []).append(one.profile.name)
    ware = learning.ware(final)
    return [_record(plan, profiles, learning, ship(ware, plan)) for plan, profiles in by_plan.items()]


def _record(plan: Plan, profiles: list[str], learning: Learning, shipped: Shipped) -> dict[str, Any]:
    return {
        "plan": plan.name,
        "profiles": profiles,
        "stored_bytes": len(shipped.file),
        "metrics": {name: float(shipped.score.metrics[name]) for name in learning.goal.columns},
        "facts": dict(shipped.artefact.facts),
    }
