"""What must hold between several keys of a rollout plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from fedlite.scenario.quantities import write
from fedlite.scenario.rollout.class_laws import CLASS_LAWS
from fedlite.scenario.rollout.gate_laws import GATE_LAWS
from fedlite.scenario.rollout.size_laws import SIZE_LAWS
from fedlite.scenario.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.rollout.law import PlanLaw
    from fedlite.scenario.rollout.sections import PlanSections

_TOLERANCE: Final = 1e-9
_RELATIVE: Final = "write 'after: ...' for the time from the wave before"


def _weights_rise(plan: PlanSections) -> Iterator[Violation]:
    highest = 0.0
    for index, action in enumerate((plan.strategy.steps if plan.strategy else None) or ()):
        if action.set_weight is None:
            continue
        if action.set_weight < highest:
            yield Violation(
                f"strategy.steps.{index}.setWeight",
                f"got {write(action.set_weight, 'fraction')} after {write(highest, 'fraction')}, but devices that have"
                " a model keep it",
                f"write {write(highest, 'fraction')} or more, or let a gate roll back",
            )
        highest = max(highest, action.set_weight)


def _somebody_is_let_in(plan: PlanSections) -> Iterator[Violation]:
    steps = plan.strategy.steps if plan.strategy else None
    if steps and not any(action.set_weight for action in steps):
        yield Violation("strategy.steps", "got no setWeight above 0 %, so no device is let in", "add 'setWeight: 1 %'")


def _analysis_after_exposure(plan: PlanSections) -> Iterator[Violation]:
    let_in = False
    for index, action in enumerate((plan.strategy.steps if plan.strategy else None) or ()):
        let_in = let_in or bool(action.set_weight)
        if let_in and action.pause is not None:
            return
        if action.analysis is not None:
            when = (
                "at the moment at which the first devices are let in" if let_in else "before any device has the model"
            )
            yield Violation(
                f"strategy.steps.{index}.analysis",
                f"got an analysis {when}, which sees nothing",
                "move it behind a setWeight and a pause",
            )


def _waves_last_until_their_analysis(plan: PlanSections) -> Iterator[Violation]:
    waves = (plan.strategy.waves if plan.strategy else None) or ()
    lettings_in = [step for step in plan.steps if step.number]
    for index, (wave, step) in enumerate(zip(waves[:-1], lettings_in, strict=False)):
        following = waves[index + 1]
        at_once = not (step.hold_s or step.installed or step.waits) and following.has_beginning
        if wave.analysis and at_once:
            yield Violation(
                f"strategy.waves.{index}.analysis",
                f"got an analysis at the end of a wave that wave {index + 2} follows at the same moment, so nobody"
                " of it has the model yet and it sees nothing",
                f"let wave {index + 2} begin later, such as 'after: 24 h', or remove the analysis",
            )


def _waves_fit(plan: PlanSections) -> Iterator[Violation]:
    let_in: dict[object, float] = {}
    finished: dict[object, int] = {}
    for index, wave in enumerate((plan.strategy.waves if plan.strategy else None) or ()):
        meant = (tuple(sorted(wave.filter.tiers)), tuple(sorted(wave.filter.profiles)))
        key = f"strategy.waves.{index}"
        if meant in finished:
            yield Violation(
                key,
                f"got a wave after wave {finished[meant] + 1}, which takes the rest of the same devices",
                "remove it, or let the rest come last",
            )
        total = let_in.get(meant, 0.0) + (wave.percent or 0.0)
        if total > 1.0 + _TOLERANCE and let_in.get(meant, 0.0) <= 1.0 + _TOLERANCE:
            yield Violation(
                f"{key}.percent",
                f"got waves of {total * 100:.6g} % of the same devices up to here, expected at most 100 %",
                f"write {max(0.0, 1.0 - let_in.get(meant, 0.0)) * 100:.6g} % or less, or 'rest: true'",
            )
        let_in[meant] = total
        if wave.rest:
            finished[meant] = index


def _waves_have_beginnings(plan: PlanSections) -> Iterator[Violation]:
    begun_s: float | None = 0.0
    for index, wave in enumerate((plan.strategy.waves if plan.strategy else None) or ()):
        key = f"strategy.waves.{index}"
        if index == 0:
            if wave.after_s is not None or wave.installed is not None or wave.approval:
                yield Violation(key, "got a condition on the wave before, but this is the first", "write 'start: ...'")
            begun_s = wave.start_s or 0.0
            continue
        if not wave.has_beginning:
            yield Violation(
                key, "got no time at which the wave begins", "add 'after: 24 h', 'start: 3 d' or 'installed: 50 %'"
            )
        if wave.start_s is not None and begun_s is None:
            yield Violation(
                f"{key}.start",
                "got a time from the beginning, but when the wave before begins is not known in advance",
                _RELATIVE,
            )
        elif wave.start_s is not None and begun_s is not None and wave.start_s < begun_s:
            before = write(begun_s, "time")
            yield Violation(
                f"{key}.start",
                f"got {write(wave.start_s, 'time')}, earlier than the wave before at {before}",
                f"write {before} or later",
            )
        begun_s = _begins(wave.start_s, wave.after_s, begun_s, open_ended=wave.approval or wave.installed is not None)


def _begins(start_s: float | None, after_s: float | None, begun_s: float | None, *, open_ended: bool) -> float | None:
    """Return when a wave begins, None if that is decided on the way."""
    if open_ended or (start_s is None and begun_s is None):
        return None
    return start_s if start_s is not None else (begun_s or 0.0) + (after_s or 0.0)


def _horizon_holds_the_plan(plan: PlanSections) -> Iterator[Violation]:
    steps = plan.steps
    approval_s = plan.strategy.approval_s if plan.strategy else 0.0
    # What comes after the last letting-in may well be cut off.
    last = max((index for index, step in enumerate(steps) if _lets_in(steps[index - 1 : index + 1])), default=0)
    taken_s = math.fsum(step.hold_s + (approval_s if step.waits else 0.0) for step in steps[:last])
    if taken_s >= plan.horizon_s:
        yield Violation(
            "horizon",
            f"got {write(plan.horizon_s, 'time')}, but the plan's own pauses take {write(taken_s, 'time')} until its"
            " last devices are let in",
            f"write more than {write(taken_s, 'time')}, or shorten the pauses",
            ("strategy",),
        )


def _lets_in(pair: tuple[object, ...]) -> bool:
    numbers = [getattr(step, "number", 0) for step in pair]
    return len(numbers) > 1 and numbers[-1] > numbers[0]


def _audience_is_updated(plan: PlanSections) -> Iterator[Violation]:
    audience = plan.audience
    if audience.auto_update is not None and audience.auto_update < 1 and audience.adoption is None:
        yield Violation(
            "audience.auto_update",
            f"got {write(audience.auto_update, 'fraction')} without 'adoption', which says when the others are updated",
            "add 'adoption: {shares: [35.3 %, 32.9 %], means: [1.62 d, 28.3 d]}', or write 'opt_out' for those who"
            " never are",
        )
    if audience.auto_update == 1 and audience.adoption is not None:
        yield Violation(
            "audience.adoption",
            "got an adoption by owners with 'auto_update: 100 %', by which all devices update by themselves",
            "lower auto_update, or remove one of the two",
        )
    if audience.opt_out == 1:
        yield Violation("audience.opt_out", "got 100 %, so no device is updated", "write less")


def _training_keys_are_left(plan: PlanSections) -> Iterator[Violation]:
    from fedlite.scenario.fleet import Rules

    if plan.fleet is not None and plan.fleet.rules != Rules():
        yield Violation(
            "fleet.rules",
            "got rules, which say whom training asks",
            "write the conditions of a download under 'download'",
        )


def _names_are_single(plan: PlanSections) -> Iterator[Violation]:
    for section, told in (("gates", [one.name for one in plan.gates]), ("worlds", [one.name for one in plan.worlds])):
        for index, name in enumerate(told):
            if name in told[:index]:
                yield Violation(f"{section}.{index}.name", f"got {name!r} twice", "give each a name of its own")


LAWS: Final[tuple[PlanLaw, ...]] = (
    _weights_rise,
    _somebody_is_let_in,
    _analysis_after_exposure,
    _waves_last_until_their_analysis,
    _waves_fit,
    _waves_have_beginnings,
    _horizon_holds_the_plan,
    _audience_is_updated,
    _training_keys_are_left,
    _names_are_single,
    *SIZE_LAWS,
    *CLASS_LAWS,
    *GATE_LAWS,
)
