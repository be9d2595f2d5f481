"""What the devices of each plan of a run get in the end, and how good it is: not always the model that was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.compose.shipping import Shipped, ship
from fedlite.compression.part import PartError

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
        plan, profiles, stored_bytes, the metrics of the task on its test rows, and what the deliveries found out; only
        plan, profiles and `why` where the trained model turned out to be none that this can be done to.
    """
    by_plan: dict[Plan, list[str]] = {}
    for one in classes:
        if one.plan.deliveries or not one.plan.is_full:
            by_plan.setdefault(one.plan, []).append(one.profile.name)
    ware = learning.ware(final)
    made = []
    for plan, profiles in by_plan.items():
        try:
            made.append(_record(plan, profiles, learning, ship(ware, plan)))
        except PartError as error:
            # Found out by the values of the trained model alone; what was trained is not lost by it.
            made.append({"plan": plan.name, "profiles": profiles, "why": str(error)})
    return made


def _record(plan: Plan, profiles: list[str], learning: Learning, shipped: Shipped) -> dict[str, Any]:
    return {
        "plan": plan.name,
        "profiles": profiles,
        "stored_bytes": len(shipped.file),
        "metrics": {name: float(shipped.score.metrics[name]) for name in learning.goal.columns},
        "facts": dict(shipped.artefact.facts),
    }
