"""Argo Rollouts: a canary Rollout, alone or with its AnalysisTemplates, in a List or as several documents.

References
----------
argoproj/argo-rollouts, docs/features/canary.md, analysis.md, specification.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from fedlite.scenario.quantities import write as quantity
from fedlite.scenario.rollout.devices import STUB
from fedlite.scenario.rollout.exchange.argo_durations import as_seconds, as_text
from fedlite.scenario.rollout.exchange.fields import (
    NO_CONDITIONS,
    Fields,
    Imported,
    Left,
    hundredths,
    percent,
    stubbed,
)
from fedlite.scenario.rollout.exchange.writing import at_worst, sizes_unlike, unexpressed, unlike
from fedlite.scenario.rollout.gates import BINARY, METRICS

if TYPE_CHECKING:
    from datetime import datetime

    from fedlite.scenario.rollout.gates import Gate
    from fedlite.scenario.rollout.plan import RolloutPlan
    from fedlite.scenario.strict_yaml import Document, KeyPath

_API: Final = "argoproj.io/v1alpha1"
_TEMPLATES: Final = ("AnalysisTemplate", "ClusterAnalysisTemplate")
_CONDITION = re.compile(r"\s*result(?:\[0\])?\s*(<=?|>=?)\s*([0-9]*\.?[0-9]+)\s*")
_SERVERS: Final = "it is about servers of a cluster"
_REASONS: Final = {
    "metadata": "it names the resource in its cluster",
    "items.metadata": "it names the resource in its cluster",
    "spec": _SERVERS,
    "items.spec": _SERVERS,
    "spec.strategy.canary.steps.setCanaryScale": _SERVERS,
    "spec.strategy.canary.steps.experiment": "a rehearsal has no experiment beside the canary",
    "items.spec.metrics.provider": "the devices of a rehearsal tell the metric themselves",
    "items.spec.metrics.count": "an analysis of a plan looks once; 'every' looks as long as the rollout goes on",
    "items.spec.metrics.interval": "an analysis of a plan looks once; 'every' looks as long as the rollout goes on",
    "items.spec.args": "the metrics of a rehearsal have no arguments",
}
_CANARY: Final = ("spec", "strategy", "canary")


def read(document: Document) -> Imported:
    """Return what a Rollout comes to."""
    fields = Fields(document, _REASONS)
    root = _root(fields)
    for key in ("apiVersion", "kind"):
        fields.take(key)
        fields.take(*root, key)
    _set_aside(fields)
    canary = (*root, *_CANARY)
    if fields.get(*canary) is None:
        fields.wrong(root, "got no spec.strategy.canary", "export a Rollout with the canary strategy")
    name = fields.name(*root, "metadata", "name")
    steps = _steps(fields, (*canary, "steps"))
    background, first = _background(fields, (*canary, "analysis"), steps)
    named = list(dict.fromkeys(one for step in steps for one in step.get("analysis", ())))
    gates = _gates(fields, named, background, first)
    strategy = {"steps": _called(steps, gates)}
    return fields.imported(
        stubbed(name, download=dict(NO_CONDITIONS), strategy=strategy, gates=[gate for _, gate in gates])
    )


def _root(fields: Fields) -> KeyPath:
    """Return where the Rollout stands: at the top, or among the items of a List."""
    if fields.get("kind") == "Rollout":
        return ()
    found = [index for index in fields.items("items") if fields.get("items", index, "kind") == "Rollout"]
    if len(found) == 1:
        return ("items", found[0])
    fields.wrong(
        ("kind",),
        f"got {len(found)} resources of kind Rollout, expected one",
        "write one Rollout, alone or with its AnalysisTemplates",
    )
    return ()


def _set_aside(fields: Fields) -> None:
    """List resources of other kinds with one line each."""
    for index in fields.items("items"):
        kind = fields.get("items", index, "kind")
        if isinstance(kind, str) and kind not in {"Rollout", *_TEMPLATES}:
            fields.take("items", index)
            fields.note(("items", index), f"a {kind} says nothing of how devices are let in or what stops it")


def _steps(fields: Fields, path: KeyPath) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    weight = 0.0
    for index in fields.items(*path):
        here = (*path, index)
        if (told := fields.number((*here, "setWeight"), 0, 100)) is not None:
            weight = told
            steps.append({"setWeight": percent(told)})
        elif fields.get(*here, "pause") is not None:
            steps.append({"pause": _pause(fields, (*here, "pause"))})
        elif fields.get(*here, "analysis") is not None:
            if names := _templates(fields, (*here, "analysis")):
                steps.append({"analysis": names})
        else:
            fields.note(here, "no step of a plan: setWeight, pause and analysis are")
    if weight < 100:  # noqa: PLR2004 -- a percentage
        fields.note(path, "a Rollout ends with all, so 'setWeight: 100 %' is added")
        steps.append({"setWeight": "100 %"})
    return steps


def _pause(fields: Fields, path: KeyPath) -> dict[str, Any]:
    told = fields.take(*path, "duration")
    if not fields.get(*path):
        fields.take(*path)
    if told is None:
        return {}
    held_s = as_seconds(told)
    if held_s is None:
        fields.wrong((*path, "duration"), f"got {told!r}, expected a duration", "write for example 10m")
        return {}
    return {"duration": quantity(held_s, "time")}


def _templates(fields: Fields, path: KeyPath) -> list[str]:
    positions = fields.items(*path, "templates")
    return [name for index in positions if (name := fields.text(*path, "templates", index, "templateName"))]


def _background(fields: Fields, path: KeyPath, steps: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return the templates that are looked at throughout, and from which setWeight on."""
    names = _templates(fields, path)
    first = int(fields.number((*path, "startingStep"), 0, 1000) or 0)
    before = sum("setWeight" in step for step in steps[: first + 1])
    return names, max(1, before)


Called = tuple[str, dict[str, Any]]
"""A template's name, and a gate that it stands for."""


def _gates(fields: Fields, named: list[str], background: list[str], first: int) -> list[Called]:
    where: dict[str, int] = {}
    for index in fields.items("items"):
        told = fields.get("items", index, "metadata", "name")
        if fields.get("items", index, "kind") in _TEMPLATES and isinstance(told, str):
            where[told] = index
    gates: list[Called] = []
    for name in dict.fromkeys((*named, *background)):
        looks = {"every": "1 h", **({"from_step": first} if first > 1 else {})} if name in background else {}
        if name not in where:
            fields.note((), f"the AnalysisTemplate {name!r} is not in the file; its gate is left open")
            gates.append((name, _gate(name, STUB, STUB, looks)))
            continue
        item: KeyPath = ("items", where[name])
        for key in ("apiVersion", "kind"):
            fields.take(*item, key)
        fields.take(*item, "metadata", "name")
        metrics = (*item, "spec", "metrics")
        positions = fields.items(*metrics)
        if not positions:
            fields.note(item, "it has no metrics; its gate is left open")
            gates.append((name, _gate(name, STUB, STUB, looks)))
        for index in positions:
            told = name if len(positions) == 1 else f"{name}-{index + 1}"
            gates.append((name, _of_metric(fields, (*metrics, index), told, dict(looks))))
    return gates


def _of_metric(fields: Fields, path: KeyPath, name: str, looks: dict[str, Any]) -> dict[str, Any]:
    metric = fields.text(*path, "name") or ""
    if looks and (told := fields.get(*path, "interval")) is not None:
        fields.take(*path, "interval")
        every_s = as_seconds(told)
        if every_s is None:
            fields.wrong((*path, "interval"), f"got {told!r}, expected a duration", "write for example 10m")
        else:
            looks["every"] = quantity(every_s, "time")
    known = metric in METRICS and METRICS[metric].kind == BINARY
    if not known:
        fields.note((*path, "name"), f"devices tell no metric {metric!r}; the gate's metric is left open")
    gate = _gate(name, metric if known else STUB, _threshold(fields, path), looks)
    if limit := fields.number((*path, "failureLimit"), 0, 1000):
        gate["failure_limit"] = int(limit)
    return gate


def _threshold(fields: Fields, path: KeyPath) -> str:
    """Return the share of failures at which a metric fails."""
    for key, good in (("successCondition", "<"), ("failureCondition", ">")):
        told = fields.get(*path, key)
        if told is None:
            continue
        fields.take(*path, key)
        match = _CONDITION.fullmatch(str(told))
        if match is None or not 0 < float(match[2]) < 1:
            fields.note((*path, key), "a condition other than 'result < 0.05' is not read; the threshold is left open")
            return STUB
        number = float(match[2])
        if match[1][0] != good:
            fields.note(
                (*path, key), f"read as a share of successes: fails at {hundredths(1 - number):g} % of failures"
            )
            number = 1 - number
        return percent(hundredths(number))
    return STUB


def _gate(name: str, metric: str, threshold: str, looks: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "metric": metric,
        "method": "threshold",
        "threshold": threshold,
        "on_fail": "rollback",
        **looks,
    }


def _called(steps: list[dict[str, Any]], gates: list[Called]) -> list[dict[str, Any]]:
    """Return the steps with each template's name replaced by the gates that it stands for."""
    return [
        {"analysis": [gate["name"] for name in step["analysis"] for known, gate in gates if known == name]}
        if "analysis" in step
        else step
        for step in steps
    ]


def write(plan: RolloutPlan, start: datetime | None = None) -> tuple[dict[str, Any], list[Left]]:
    """Return the Rollout of a plan, with its gates as AnalysisTemplates, and what Argo cannot express.

    Parameters
    ----------
    plan : RolloutPlan
    start : datetime, optional
        Argo begins when the Rollout is applied, so it is not written.
    """
    left: list[Left] = []
    if start is not None:
        left.append(Left("--start", "a Rollout begins when it is applied"))
    if plan.description:
        left.append(Left("description", "a Rollout has none"))
    templates = [template for index, gate in enumerate(plan.gates) if (template := _template(index, gate, left))]
    written = {template["metadata"]["name"] for template in templates}
    canary: dict[str, Any] = {"steps": []}
    if plan.strategy.paced is not None:
        left.append(Left("strategy.rate", "Argo lets in by weights, not at a rate"))
    else:
        canary["steps"] = _written_steps(plan, written, left)
    if looked := [gate for gate in plan.gates if gate.every_s is not None and gate.name in written]:
        canary["analysis"] = _looked(looked, canary["steps"], left)
    rollout = {
        "apiVersion": _API,
        "kind": "Rollout",
        "metadata": {"name": plan.name},
        "spec": {"strategy": {"canary": canary}},
    }
    left += unexpressed(plan, (), "servers of a cluster download nothing")
    at_once = None if plan.strategy.paced is None else "the Rollout has no steps and goes to all at once"
    left = [*at_worst(plan, at_once, len(templates)), *left]
    if not templates:
        return rollout, left
    return {"apiVersion": "v1", "kind": "List", "items": [rollout, *templates]}, left


def _written_steps(plan: RolloutPlan, written: set[str], left: list[Left]) -> list[dict[str, Any]]:
    """Return the steps of a plan, of its analyses those for which a template is written."""
    left += sizes_unlike(plan.steps)
    steps: list[dict[str, Any]] = []
    number = 0
    for step in plan.steps:
        if step.number != number:
            number = step.number
            share = hundredths(step.weight)
            weight = max(1, round(share)) if share else 0
            if weight != share:
                left.append(Left(f"strategy ({step.name})", f"weights are whole percentages, so {weight} is written"))
            steps.append({"setWeight": weight})
        if step.hold_s:
            steps.append({"pause": {"duration": as_text(step.hold_s)}})
        if step.installed is not None:
            left.append(Left(f"strategy ({step.name})", "Argo does not wait until a share has installed"))
        left += [
            Left(f"strategy ({step.name})", f"its analysis of {name!r} is left out, for which there is no template")
            for name in step.gates
            if name not in written
        ]
        if templates := [{"templateName": name} for name in step.gates if name in written]:
            steps.append({"analysis": {"templates": templates}})
        if step.waits:
            steps.append({"pause": {}})
    return steps


def _looked(gates: list[Gate], steps: list[dict[str, Any]], left: list[Left]) -> dict[str, Any]:
    first = gates[0].from_step
    if any(gate.from_step != first for gate in gates):
        left.append(Left("gates", f"Argo begins all background analyses at one step, so from_step {first} is written"))
    analysis: dict[str, Any] = {"templates": [{"templateName": gate.name} for gate in gates]}
    if first > 1:
        analysis["startingStep"] = [index for index, step in enumerate(steps) if "setWeight" in step][first - 1]
    return analysis


def _template(index: int, gate: Gate, left: list[Left]) -> dict[str, Any] | None:
    key = f"gates.{index}"
    if gate.method != "threshold" or gate.threshold is None:
        left.append(Left(key, f"Argo compares a number with a condition and knows no {gate.method!r}"))
        return None
    if gate.on_fail != "rollback":
        left.append(
            Left(f"{key}.on_fail", f"Argo always goes back to the stable version, it does not only {gate.on_fail}")
        )
    left.append(Left(f"{key}.metric", "where Argo finds it (provider) is to be added by hand"))
    left += unlike(key, gate, {"on_fail", "failure_limit", "every", "from_step"})
    metric: dict[str, Any] = {"name": gate.metric, "successCondition": f"result < {gate.threshold:.10g}"}
    if gate.every_s is not None:
        metric["interval"] = as_text(gate.every_s)
    if gate.failure_limit:
        metric["failureLimit"] = gate.failure_limit
    return {
        "apiVersion": _API,
        "kind": "AnalysisTemplate",
        "metadata": {"name": gate.name},
        "spec": {"metrics": [metric]},
    }
