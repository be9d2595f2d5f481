"""What the devices of a run get in the end, how good it is and what it takes: not always what was trained."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fedlite.compose.shipping import Packed, Shipped, pack, ship
from fedlite.compression.part import PartError
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.compose.fleet import DeviceClass
    from fedlite.compose.learning import Learning
    from fedlite.compression.plan import Plan
    from fedlite.scenario.schema import Scenario

    Ledger = Mapping[str, NDArray[Any]]


def plans_of(scenario: Scenario, one: DeviceClass) -> list[Plan]:
    """Return the plans that jobs of a device class may follow, in the order in which they are written."""
    options = scenario.options_for(profile=one.profile.name, tier=str(one.profile.tier))
    chosen = [plan for option in options if option.condition or option.choose for plan in option.plans]
    chooses = bool(options) and options[-1].condition is None and options[-1].choose is not None
    # `auto` has decided what the last rule says.
    return chosen if chooses else [*chosen, one.plan]


def plan_shipped(plans: Sequence[Plan], one: DeviceClass, ledger: Ledger) -> Plan | None:
    """Return the plan under which a device class is shipped the model; None for a class that is left out.

    Where plans are chosen job by job it is that of most of the class's training jobs, of equals the first written; that
    by which the class was judged if it had no job.
    """
    if one.excluded:
        return None
    jobs = Counter(ledger["plan"][(ledger["kind"] == "train") & (ledger["profile"] == one.profile.name)].tolist())
    return max(plans, key=lambda plan: jobs[plan.name]) if jobs else one.plan


def what_is_shipped(
    scenario: Scenario,
    classes: Sequence[DeviceClass],
    learning: Learning,
    final: Sequence[NDArray[Any]],
    ledger: Ledger,
) -> dict[str, list[dict[str, Any]]]:
    """Return what devices get in the end, and what an inference of it takes.

    Returns
    -------
    dict
        delivered : one record for each plan whose devices get something else than the full model as it was trained.
        plan, profiles, those of them whose plan is that of most of their jobs, for there were several
        (`by_most_jobs`), stored_bytes, the metrics of the task on its test rows, and what the deliveries found out;
        only the first three and `why` where the trained model turned out to be none that this can be done to.
        inference : one record for each class that is shipped something. profile, plan, stored_bytes, and latency_ms,
        energy_mj and peak_memory_bytes with their bands; only the first two and `why` where it cannot run there.
    """
    by_plan: dict[Plan, list[tuple[DeviceClass, bool]]] = {}
    for one in classes:
        plans = plans_of(scenario, one)
        if (plan := plan_shipped(plans, one, ledger)) is not None:
            by_plan.setdefault(plan, []).append((one, len(plans) > 1))
    ware = learning.ware(final)
    delivered: list[dict[str, Any]] = []
    inference: list[dict[str, Any]] = []
    for plan, several in by_plan.items():
        said = {
            "plan": plan.name,
            "profiles": [one.profile.name for one, _ in several],
            "by_most_jobs": [one.profile.name for one, chosen in several if chosen],
        }
        try:
            made = ship(ware, plan) if plan.deliveries or not plan.is_full else None
            if made is not None:
                delivered.append({**said, **_record(learning, made)})
            packed = made or pack(ware, plan)
            inference += [_on(one, packed) for one, _ in several]
        except PartError as error:
            # Found out by the values of the trained model alone; what was trained is not lost by it.
            delivered.append({**said, "why": str(error)})
    return {"delivered": delivered, "inference": inference}


def _on(one: DeviceClass, made: Packed) -> dict[str, Any]:
    said = {"profile": one.profile.name, "plan": made.plan.name}
    try:
        return {**said, "stored_bytes": len(made.file), **made.inference_on(one.profile)}
    except FedliteError as error:
        return {**said, "why": str(error)}


def _record(learning: Learning, shipped: Shipped) -> dict[str, Any]:
    return {
        "stored_bytes": len(shipped.file),
        "metrics": {name: float(shipped.score.metrics[name]) for name in learning.goal.columns},
        "facts": dict(shipped.artefact.facts),
    }
