"""Mender: the body of a deployment (v2) with phases.

References
----------
docs.mender.io, deployments API v2: NewDeployment, NewDeploymentPhase.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from fedlite.scenario.quantities import write as quantity
from fedlite.scenario.rollout.exchange.fields import (
    NO_CONDITIONS,
    Fields,
    Imported,
    Left,
    hundredths,
    percent,
    stubbed,
)
from fedlite.scenario.rollout.exchange.writing import at_worst, lettings_in, sizes_unlike, unexpressed

if TYPE_CHECKING:
    from fedlite.scenario.rollout.plan import RolloutPlan
    from fedlite.scenario.strict_yaml import Document, KeyPath

_MOST_RETRIES: Final = 100
_TARGETS: Final = "which devices are meant is the plan's 'fleet'"
_REASONS: Final = {
    "artifact_name": "what is installed is the plan's 'model'",
    "filter_id": _TARGETS,
    "devices": _TARGETS,
    "all_devices": _TARGETS,
    "group": _TARGETS,
    "max_devices": _TARGETS,
    "force_installation": "no device of a rehearsal has the new model already",
    "autogenerate_delta": "write 'model: {delta: {from: ..., ratio: auto}}'",
    "update_control_map": "an analysis and a pause of the plan say what is asked before going on",
    "phases.id": "Mender gives it",
    "phases.device_count": "Mender counts it",
}


def read(document: Document) -> Imported:
    """Return what a deployment comes to."""
    fields = Fields(document, _REASONS)
    name = fields.name("name")
    retries = fields.number(("retries",), 0, _MOST_RETRIES)
    waves = _waves(fields) or [{"rest": True}]
    download = {**NO_CONDITIONS, "retries": int(retries or 0)}
    return fields.imported(stubbed(name, download=download, strategy={"waves": waves}))


def _waves(fields: Fields) -> list[dict[str, Any]]:
    positions = fields.items("phases")
    first = _time(fields, ("phases", 0, "start_ts")) if positions else None
    if first is not None:
        fields.note(("phases", 0, "start_ts"), "a rehearsal begins at 'fleet.start'; later phases keep their distance")
    waves: list[dict[str, Any]] = []
    total = 0.0
    for index in positions:
        path = ("phases", index)
        size = fields.number((*path, "batch_size"), 1, 100)
        last = index == len(positions) - 1
        if size is None and not last and not fields.problems:
            fields.wrong(
                (*path, "batch_size"), "got nothing, expected a percentage", "only the last phase may leave it out"
            )
        total += size or 0.0
        if total > 100:  # noqa: PLR2004 -- a percentage
            fields.wrong((*path, "batch_size"), f"got phases of {total:g} % up to here", "make them 100 % together")
        rest = last and (size is None or total >= 100)  # noqa: PLR2004
        wave: dict[str, Any] = {"rest": True} if rest else {"percent": percent(size or 0.0)}
        if index:
            wave["start"] = _distance(fields, (*path, "start_ts"), first)
        waves.append(wave)
    return waves


def _distance(fields: Fields, path: KeyPath, first: datetime | None) -> str | float:
    begins = _time(fields, path)
    if begins is None and fields.get(*path) is None:
        fields.wrong(path, "got nothing, expected the time at which the phase begins", "add 'start_ts'")
    elif begins is not None and first is None and fields.get("phases", 0, "start_ts") is None:
        fields.wrong(
            ("phases", 0, "start_ts"),
            "got nothing, so how long after the first phase this one begins is not known",
            "add the time at which the deployment is created",
        )
    if begins is None or first is None:
        return "0 s"
    if begins < first:
        fields.wrong(path, "got a time before that of the first phase", "let the phases follow one another")
        return "0 s"
    return quantity((begins - first).total_seconds(), "time")


def _time(fields: Fields, path: KeyPath) -> datetime | None:
    told = fields.take(*path)
    if told is None:
        return None
    try:
        found = datetime.fromisoformat(str(told))
    except ValueError:
        fields.wrong(path, f"got {told!r}, expected a time", "write for example '2026-03-02T08:00:00Z'")
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def write(plan: RolloutPlan, start: datetime | None = None) -> tuple[dict[str, Any], list[Left]]:
    """Return the deployment of a plan, and what Mender cannot express.

    Parameters
    ----------
    plan : RolloutPlan
    start : datetime, optional
        When the first phase begins; without it the times of the later ones cannot be told.
    """
    left: list[Left] = []
    document: dict[str, Any] = {"name": plan.name}
    if plan.description:
        left.append(Left("description", "a deployment has none"))
    if plan.strategy.paced is not None:
        left.append(Left("strategy.rate", "Mender lets devices in by phases, not at a rate"))
    else:
        document["phases"] = _phases(plan, start, left)
    if plan.download.retries:
        document["retries"] = plan.download.retries
    left += [
        Left(f"gates.{index}", "Mender's phases go on by the time alone; a person must watch")
        for index in range(len(plan.gates))
    ]
    left += unexpressed(plan, {"download.retries"}, "Mender leaves it to the device's own software")
    phases = document.get("phases", [])
    at_once = None if phases else "the deployment has no phases and goes to all devices at once"
    if len(phases) > 1 and len({phase.get("start_ts") for phase in phases}) == 1:
        at_once = "all phases begin at the same time, so it goes to all devices at once"
    return document, [*at_worst(plan, at_once, 0), *left]


def _phases(plan: RolloutPlan, start: datetime | None, left: list[Left]) -> list[dict[str, Any]]:
    left += sizes_unlike(plan.steps)
    begun_s = sum(step.hold_s for step in plan.steps if step.number == 0)
    phases: list[dict[str, Any]] = []
    let_in = 0.0
    for step, stretches in lettings_in(plan.steps):
        where = f"strategy ({step.name})"
        phase: dict[str, Any] = {}
        share = hundredths(step.weight - let_in)
        let_in = step.weight
        if step.weight < 1.0:
            phase["batch_size"] = max(1, round(share))
            if phase["batch_size"] != share:
                left.append(
                    Left(where, f"a phase is a whole percentage, so {share:g} is written as {phase['batch_size']}")
                )
        if start is not None:
            phase["start_ts"] = _stamp(start + timedelta(seconds=begun_s))
        elif begun_s > 0:
            left.append(
                Left(where, f"begins {quantity(begun_s, 'time')} after the start, which was not told (--start)")
            )
        if any(one.waits or one.installed for one in stretches):
            left.append(Left(where, "a phase begins at its time, whatever a person or the phase before says"))
        begun_s += sum(one.hold_s for one in stretches)
        phases.append(phase)
    if let_in < 1.0:
        left.append(
            Left("strategy", f"{hundredths(1.0 - let_in):g} % are never let in, but Mender's last phase has all")
        )
    return phases


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
