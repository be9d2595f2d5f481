"""What can be made of a finished run's model for each class of devices: files that are written, executed and priced."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from fedlite.compose.exporting import exported, not_exported
from fedlite.compose.final_model import final_arrays, learning_of, scenario_of
from fedlite.compose.offers import AS_TRAINED, OF_THE_RUN, asked_for, of_the_run
from fedlite.compose.shipping import predicted, score_of, ship
from fedlite.compose.spending import Done, spent
from fedlite.compression.plan import Plan
from fedlite.devices.server import US_PRICES
from fedlite.errors import FedliteError
from fedlite.export import format_of
from fedlite.learning.corruptions import CORRUPTIONS
from fedlite.learning.detection.average_precision import average_precisions
from fedlite.learning.detection.boxes import kept
from fedlite.learning.objectives.detection import Detection
from fedlite.scenario.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fedlite.compose.learning import Learning
    from fedlite.compose.offers import Offer
    from fedlite.compose.shipping import Shipped, Ware
    from fedlite.compression.part import Part
    from fedlite.devices.duty import Use
    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile
    from fedlite.learning.models.spec import ModelSpec
    from fedlite.scenario.schema import Scenario

USUAL: Final = (AS_TRAINED, OF_THE_RUN, "static-int8", "weight-only", "clustering")
"""Artefacts that are made unless others are asked for, where they apply."""
_CLASSES: Final = ("cross-entropy", "exits")


@dataclass(frozen=True)
class Deployment:
    """What is to be made.

    Attributes
    ----------
    run : Path
    artefacts : sequence of (name, techniques with their options)
        A name such as "unstructured-pruning+static-int8"; no techniques for the model as it was trained, and for
        `OF_THE_RUN`.
    use : Use
    storage_bytes : float
        The most that an artefact may take, such as an app store's limit.
    out : Path
        Where the files go.
    formats : sequence of str
        Names of `fedlite.export.FORMATS` that artefacts are exported to as well.
    exports : sequence of str, optional
        The artefacts that are; the best one and fp32 if none is named. `OF_THE_RUN` names those of the classes.
    """

    run: Path
    artefacts: Sequence[tuple[str, Sequence[tuple[str, Mapping[str, Any]]]]]
    use: Use
    storage_bytes: float
    out: Path
    formats: Sequence[str] = ()
    exports: Sequence[str] = ()


def deploy(asked: Deployment) -> dict[str, Any]:
    """Write and test the artefacts, and return what each comes to on each class, as JSON values.

    Raises
    ------
    FedliteError
        If the directory holds no finished run of a scenario, nothing that was asked for applies to its model, or the
        libraries of a format are not installed.
    """
    formats = [format_of(name) for name in dict.fromkeys(asked.formats)]
    for form in formats:
        form.check_installed()
    scenario = scenario_of(asked.run, "run")
    learning = learning_of(asked.run, "run")
    ware = learning.ware(final_arrays(asked.run, learning, "run"))
    offers, followed, left_out, refused = _offers(asked, scenario, learning)
    shipped = _shipped(offers, ware, refused)
    followed = _joined(shipped, followed, [name for name in shipped if name not in dict(asked.artefacts)])
    asked.out.mkdir(parents=True, exist_ok=True)
    made = [
        {
            **_artefact(
                name, one, ware, asked.out, "" if name in followed.values() else _untrained(one.plan, scenario)
            ),
            "written": offers[name].written,
        }
        for name, one in shipped.items()
    ]
    profiles = [load_profile(name) for name in scenario.fleet.mix]
    main = {"metric": learning.goal.main.name, "goal": learning.goal.main.goal}
    classes = [
        {
            "profile": profile.name,
            "tier": str(profile.tier),
            # What its devices get in the run, if it is among the artefacts, and why they get nothing.
            "shipped": followed.get(profile.name),
            "left_out": left_out.get(profile.name, ""),
            "artefacts": [_on(profile, name, one, asked, ware.spec) for name, one in shipped.items()],
        }
        for profile in profiles
    ]
    wanted = [own for name in asked.exports for own in (followed.values() if name == OF_THE_RUN else [name])]
    fitting = [one for one in made if one["stored_bytes"] <= asked.storage_bytes]
    leaving = _to_export(wanted, fitting, main)
    staying = [name for name in _to_export(wanted, made, main) if name not in leaving] if wanted else []
    return {
        "run": str(asked.run),
        "model": learning.spec.name,
        "dataset": learning.data.name,
        "main": main,
        "artefacts": made,
        "not_made": refused,
        "exports": [
            *(exported(name, shipped[name], ware, form, asked.out) for form in formats for name in leaving),
            *(not_exported(name, form, "it takes more than the limit") for form in formats for name in staying),
        ],
        "classes": classes,
        "use": {
            "per_s": asked.use.per_s,
            "deadline_s": _finite(asked.use.deadline_s),
            "limit_bytes": _finite(asked.storage_bytes),
        },
    }


def _offers(
    asked: Deployment, scenario: Scenario, learning: Learning
) -> tuple[dict[str, Offer], dict[str, str], dict[str, str], list[dict[str, str]]]:
    """Return the artefacts by name, which of them each class follows or why none, and why others cannot be made."""
    offers: dict[str, Offer] = {}
    refused = []
    for name, techniques in asked.artefacts:
        if name == OF_THE_RUN:
            continue
        try:
            offers[name] = asked_for(name, techniques)
        except FedliteError as error:
            refused.append({"artefact": name, "why": str(error)})
    own, left_out = of_the_run(asked.run, scenario, learning, list(offers.values()))
    if OF_THE_RUN in dict(asked.artefacts):
        offers |= {one.name: one for one in own.values()}
    followed = {profile: one.name for profile, one in own.items() if one.name in offers}
    return offers, followed, left_out, refused


def _shipped(offers: Mapping[str, Offer], ware: Ware, refused: list[dict[str, str]]) -> dict[str, Shipped]:
    """Return the artefacts that can be made; why the others cannot is added to `refused`."""
    made: dict[str, Shipped] = {}
    for name, offer in offers.items():
        try:
            made[name] = ship(ware, offer.plan)
        except FedliteError as error:
            refused.append({"artefact": name, "why": str(error)})
    if not made:
        why = refused[0]["why"] if refused else "all of the run's classes are left out; name artefacts"
        raise FedliteError(f"deploy: none of the artefacts can be made: {why}")
    return made


def _untrained(plan: Plan, scenario: Scenario) -> str:
    """Return what the plan asks of training that no plan of the run asked for, in words; "" if nothing."""
    wire = scenario.wire
    asked = [part for _, section in scenario.written_plans for part in section.plan(wire.up, wire.down).parts]
    missing = [part.label for part in _of_training(plan) if part not in asked]
    if not missing:
        return ""
    return (
        f"this model was not trained under {', '.join(missing)}, and may lose what it learned otherwise; name the"
        " technique in a plan of the run"
    )


def _of_training(plan: Plan) -> Sequence[Part]:
    return (*(() if plan.structure.is_full else (plan.structure,)), *plan.constraints, *plan.terms)


def _joined(shipped: dict[str, Shipped], followed: Mapping[str, str], own: Sequence[str]) -> dict[str, str]:
    """Return what classes follow of what was made; what has the file of another artefact is left out for that."""
    same_as = {name: name for name in shipped}
    for name in own:
        mine = shipped[name]
        kind = mine.file, mine.macs, mine.precision
        same = [one for one, it in shipped.items() if one != name and (it.file, it.macs, it.precision) == kind]
        if same:
            del shipped[name]
            same_as[name] = same[0]
    return {profile: same_as[name] for profile, name in followed.items() if name in same_as}


def _artefact(name: str, shipped: Shipped, ware: Ware, out: Path, remark: str) -> dict[str, Any]:
    """Write a file, and return what holds of it on every device."""
    path = out / f"{name}.fedlite" if shipped.file else None
    if path is not None:
        path.write_bytes(shipped.file)
    data = ware.data
    return {
        "artefact": name,
        "plan": shipped.plan.label,
        "remarks": [*([remark] if remark else []), *_which_state(shipped)],
        # What asks a server has none.
        "file": None if path is None else str(path),
        "stored_bytes": len(shipped.file),
        "params": shipped.params,
        "macs": shipped.macs,
        "metrics": _metrics(shipped, ware),
        "corrupted": {
            kind: score_of(shipped, ware, spoil(data.x_test, ware.seed)).metrics for kind, spoil in CORRUPTIONS.items()
        },
        "facts": dict(shipped.artefact.facts),
        **({"by_charge": _tested_by_charge(shipped, ware)} if shipped.bands else {}),
    }


def _metrics(shipped: Shipped, ware: Ware) -> dict[str, Any]:
    """Return how good the file is on the test rows, over all and class by class where there are classes."""
    metrics: dict[str, Any] = dict(shipped.score.metrics)
    if ware.objective in _CLASSES:
        # Beside what all exits say together, which comes first, there is what single ones say.
        said = predicted(shipped, ware)
        metrics |= _by_class(said if said.ndim == 1 else said[:, 0], ware.data.y_test)
    elif ware.objective == Detection.name:
        metrics["by_class"] = _by_object(predicted(shipped, ware))
    return metrics


def _which_state(shipped: Shipped) -> list[str]:
    """Return of which state of the battery the numbers are that stand alone; nothing if there is one state."""
    low = shipped.charge_from
    if low is None:
        return []
    high = min((charge for charge, _ in shipped.bands if charge > low), default=1.0)
    return [
        f"accuracy, time and energy that stand without a charge hold with a battery of {low:.0%} to {high:.0%}",
        "hours of a battery that stand without a charge are those of all its states, one after the other",
    ]


def _tested_by_charge(shipped: Shipped, ware: Ware) -> list[dict[str, Any]]:
    """Execute what runs in each state of the battery on the test rows."""
    return [
        {"charge_from": charge, "metrics": _metrics(ship(ware, _at(shipped.plan, charge)), ware)}
        for charge, _ in shipped.bands
    ]


def _at(plan: Plan, charge: float) -> Plan:
    """Return the plan whose deliveries show the state of another charge."""
    showing = (replace(part, charge=charge) if hasattr(part, "charge") else part for part in plan.deliveries)  # type: ignore[call-arg]
    return replace(plan, deliveries=tuple(showing))


def _by_class(said: Any, wanted: Any) -> dict[str, Any]:
    classes = np.union1d(said, wanted)
    precision, recall, f1, support = precision_recall_fscore_support(
        wanted, said, labels=classes, average=None, zero_division=0.0
    )
    return {
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        "by_class": [
            {"class": int(kind), "precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
            for kind, p, r, f, n in zip(classes, precision, recall, f1, support, strict=True)
        ],
    }


def _by_object(scores: Any) -> list[dict[str, Any]]:
    """Return the average precision of each class of objects, which `map50` is the mean of."""
    said, objects = scores[:, 0], scores[:, 1]
    found = average_precisions(said, kept(said), objects)
    there = objects[objects[..., 0] > 0][:, 1]
    return [
        {"class": kind, "average_precision": value, "objects": int((there == kind).sum())}
        for kind, value in found.items()
    ]


def _on(profile: DeviceProfile, name: str, shipped: Shipped, asked: Deployment, spec: ModelSpec) -> dict[str, Any]:
    """Return what an artefact comes to on a class; only a reason where the class cannot run it."""
    try:
        takes = shipped.inference_on(profile)
    except FedliteError as error:
        return {"artefact": name, "runs": False, "why": [str(error)]}
    peak = shipped.memory(profile)
    found = shipped.duty(profile, asked.use)
    why = _obstacles(profile, len(shipped.file), peak, asked.storage_bytes)
    return {
        "artefact": name,
        "runs": not why,
        "why": why,
        **takes,
        "per_s": found.per_s,
        "sustained_per_s": found.sustained_per_s,
        "busy": found.busy,
        "late": found.late,
        "hours_to_empty": _finite(found.hours_to_empty),
        "making": _making(profile, shipped, spec),
        **({"by_charge": _priced_by_charge(profile, shipped, asked.use)} if shipped.bands else {}),
    }


def _priced_by_charge(profile: DeviceProfile, shipped: Shipped, use: Use) -> list[dict[str, Any]]:
    """Return what an inference takes in each state of the battery, and how long a full one lasts in it alone."""
    return [
        {
            "charge_from": charge,
            **one.inference_on(profile),
            "hours_to_empty": _finite(one.duty(profile, use).hours_to_empty),
        }
        for charge, one in shipped.by_charge
    ]


def _making(profile: DeviceProfile, shipped: Shipped, spec: ModelSpec) -> dict[str, Any]:
    """Return what the rows that the deliveries looked at take a device of the class."""
    plan = Plan(structure=shipped.plan.structure)
    looked = Done(spec, plan, shipped.artefact.forward_samples)
    return spent([looked] if looked.samples else [], profile, 1).record(US_PRICES)


def _obstacles(profile: DeviceProfile, stored_bytes: int, peak: Estimate, limit_bytes: float) -> list[str]:
    """Return why a class cannot have an artefact: its storage, a limit of one's own, its memory."""
    from fedlite.units import show

    checks = (
        ("storage", stored_bytes, float(profile.storage_bytes.value)),
        ("limit", stored_bytes, limit_bytes),
        ("memory", float(peak.high), float(profile.ram_bytes.value)),
    )
    said = "{}: takes {}, there are {}"
    return [said.format(what, show(need, "bytes"), show(have, "bytes")) for what, need, have in checks if need > have]


def _to_export(wanted: Sequence[str], made: Sequence[Mapping[str, Any]], main: Mapping[str, str]) -> list[str]:
    names = [str(one["artefact"]) for one in _ranked(made, main)]
    return [name for name in names if name in (wanted or [*names[:1], AS_TRAINED])]


def _ranked(made: Sequence[Mapping[str, Any]], main: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return artefacts, the best by the task's main metric first; of equals the first that was asked for."""
    sign = -1.0 if main["goal"] == "max" else 1.0
    return sorted(made, key=lambda one: sign * float(one["metrics"][main["metric"]]))


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value


def variants(told: Mapping[str, Any], asked: Deployment) -> dict[str, Any]:
    """Return the `model` section of a rollout plan that offers what runs somewhere, the best one first.

    The plan is to lie beside the files, from where the run is named.

    Raises
    ------
    FedliteError
        If nothing runs on any class.
    """
    running = {one["artefact"] for kind in told["classes"] for one in kind["artefacts"] if one["runs"]}
    best = [one for one in _ranked(told["artefacts"], told["main"]) if one["artefact"] in running]
    if not best:
        why = {reason for kind in told["classes"] for one in kind["artefacts"] for reason in one["why"]}
        raise FedliteError(f"deploy: no artefact runs on any class: {'; '.join(sorted(why))}; add a smaller one")
    run = os.path.relpath(asked.run.resolve(), asked.out.resolve())
    # A plan names its variants in letters, digits, dots and hyphens.
    named = [(str(one["artefact"]).replace("+", "-"), one["written"]) for one in best]
    return {"variants": [{"name": name, "run": run, "plan": written} for name, written in named]}
