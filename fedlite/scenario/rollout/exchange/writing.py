"""What all exports say alike: which parts of a plan the other systems leave to somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.scenario.rollout.download import Download
from fedlite.scenario.rollout.exchange.fields import NO_CONDITIONS, Left
from fedlite.scenario.rollout.gates import Gate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fedlite.scenario.base import Section
    from fedlite.scenario.rollout.plan import RolloutPlan
    from fedlite.scenario.rollout.steps import Step

_WHY: Final = {
    "fleet": "which devices are meant is said in the other system's own terms",
    "model": "what is installed is said in the other system's own terms",
    "audience": "what the owners do is assumed by a rehearsal only",
    "worlds": "what might be wrong is assumed by a rehearsal only",
    "seed": "belongs to a rehearsal",
    "replications": "belongs to a rehearsal",
    "horizon": "belongs to a rehearsal",
}


def unexpressed(plan: RolloutPlan, carried: Collection[str], why_download: str) -> Iterator[Left]:
    """Yield the keys that a plan tells and that no export has a place for.

    Parameters
    ----------
    plan : RolloutPlan
    carried : collection of str
        Keys, those of `download` dotted, that this export carries over.
    why_download : str
        Why it leaves the other keys of `download`.
    """
    for key in told(plan):
        if key in _WHY and key not in carried:
            yield Left(key, _WHY[key])
    if "approval" in told(plan.strategy):
        yield Left("strategy.approval", "how long a person takes is assumed by a rehearsal only")
    unconditional = Download.model_validate(NO_CONDITIONS)
    for name, field in Download.model_fields.items():
        key = field.alias or name
        # What an import tells is what the other systems do; what a plan asks by default they do not.
        asked = getattr(plan.download, name) != getattr(unconditional, name)
        listed = asked if key in NO_CONDITIONS else name in plan.download.model_fields_set
        if listed and f"download.{key}" not in carried:
            yield Left(f"download.{key}", why_download)


def at_worst(plan: RolloutPlan, at_once: str | None, gates: int) -> Iterator[Left]:
    """Yield, to stand above all else, what the document does to the devices that the plan would not.

    Parameters
    ----------
    plan : RolloutPlan
    at_once : str or None
        What becomes of the devices where the document lost the plan's way of letting them in.
    gates : int
        How many of the plan's gates are written.
    """
    meant = len(plan.gates)
    stop = "nothing stops it"
    if gates:
        stop = f"only {gates} of the plan's {meant} gates can stop it"
    if at_once and gates == meant and meant:
        yield Left("strategy", f"as written {at_once}")
    elif at_once:
        yield Left("strategy and gates", f"as written {at_once}, and {stop}")
    elif gates < meant:
        yield Left("gates", f"as written {stop}")


def told(section: Section) -> list[str]:
    """Return the keys of a section that its file tells, in the schema's order."""
    fields = type(section).model_fields
    return [field.alias or name for name, field in fields.items() if name in section.model_fields_set]


def raw_threshold(gate: Gate) -> bool:
    """Tell whether a gate is a share of failed installations, which is what the other systems count."""
    return gate.method == "threshold" and gate.metric == "install_failure"


def unlike(key: str, gate: Gate, carried: Collection[str]) -> Iterator[Left]:
    """Yield the keys of a gate that this export has no place for, where they differ from the default."""
    for name, field in type(gate).model_fields.items():
        shown = field.alias or name
        if shown not in {*carried, "name", "metric", "method", "threshold"} and getattr(gate, name) != field.default:
            yield Left(f"{key}.{shown}", "has no counterpart there")


def lettings_in(steps: tuple[Step, ...]) -> list[tuple[Step, list[Step]]]:
    """Return every step that lets devices in, with the stretches that follow it before the next one."""
    grouped: list[tuple[Step, list[Step]]] = []
    for step in steps:
        if step.number == 0:
            continue
        if grouped and grouped[-1][0].number == step.number:
            grouped[-1][1].append(step)
        else:
            grouped.append((step, [step]))
    return grouped


def sizes_unlike(steps: tuple[Step, ...]) -> Iterator[Left]:
    """Yield what only shares of the whole audience cannot say."""
    for step in steps:
        if step.tiers or step.profiles:
            yield Left(f"strategy ({step.name})", "a filter of tiers and profiles is said in the other system's terms")
        if step.count:
            yield Left(f"strategy ({step.name})", "a number of devices instead of a share")
