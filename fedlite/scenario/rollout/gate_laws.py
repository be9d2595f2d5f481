"""What must hold between the gates of a plan, what they watch, and where they are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.errors import nearest
from fedlite.scenario.quantities import write
from fedlite.scenario.rollout.gates import BINARY, METHODS, METRICS, Gate
from fedlite.scenario.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.rollout.law import PlanLaw
    from fedlite.scenario.rollout.sections import PlanSections

_EXAMPLES: Final = {"baseline": "baseline: 1 %", "control": "control: 5 %", "threshold": "threshold: 5 %"}


def _method_fits_metric(plan: PlanSections) -> Iterator[Violation]:
    for index, gate in enumerate(plan.gates):
        if gate.kind not in METHODS[gate.method].reads:
            able = ", ".join(name for name, method in METHODS.items() if gate.kind in method.reads)
            yield Violation(
                f"gates.{index}.method",
                f"got {gate.method!r} on {gate.metric!r}, which is {gate.kind}",
                f"write one of {able}, or another metric",
                (f"gates.{index}.metric",),
            )


def _method_is_told_enough(plan: PlanSections) -> Iterator[Violation]:
    for index, gate in enumerate(plan.gates):
        for either in METHODS[gate.method].needs:
            if all(getattr(gate, key) is None for key in either):
                yield Violation(
                    f"gates.{index}",
                    f"got method {gate.method!r} without {' or '.join(either)}, so there is nothing to compare with",
                    " or ".join(f"add '{_EXAMPLES[key]}'" for key in either),
                )


def _both_arms_tell(plan: PlanSections) -> Iterator[Violation]:
    """Refuse to compare installations with devices that install nothing."""
    for index, gate in enumerate(plan.gates):
        one_arm = "baseline" in {key for either in METHODS[gate.method].needs for key in either} and gate.baseline
        if not METRICS[gate.metric].used and not one_arm and gate.method != "threshold":
            able = ", ".join(name for name, one in METHODS.items() if any("baseline" in keys for keys in one.needs))
            yield Violation(
                f"gates.{index}.method",
                f"got {gate.method!r} against a control arm on {gate.metric!r}, which held-out devices never tell",
                f"write one of {able} with 'baseline: 1 %', or threshold",
                (f"gates.{index}.metric",),
            )


def _nothing_is_told_in_vain(plan: PlanSections) -> Iterator[Violation]:
    for index, gate in enumerate(plan.gates):
        read = {key for either in METHODS[gate.method].needs for key in either}
        for key in ("threshold", "baseline"):
            if getattr(gate, key) is not None and key not in read:
                able = ", ".join(name for name, one in METHODS.items() if key in {k for e in one.needs for k in e})
                yield Violation(
                    f"gates.{index}.{key}",
                    f"got {key} with method {gate.method!r}, which does not read it",
                    f"remove it, or write one of {able}",
                )
        yield from _direction(index, gate)
        yield from _effect(index, gate)
        if gate.from_step != 1 and gate.every_s is None:
            yield Violation(
                f"gates.{index}.from_step", "got from_step without 'every', so nothing starts there", "add 'every: 1 h'"
            )


def _direction(index: int, gate: Gate) -> Iterator[Violation]:
    if gate.direction is not None and gate.kind == BINARY and gate.direction != METRICS[gate.metric].direction:
        yield Violation(
            f"gates.{index}.direction",
            f"got {gate.direction!r} on {gate.metric!r}, of which less is better",
            "remove it",
            (f"gates.{index}.metric",),
        )


def _effect(index: int, gate: Gate) -> Iterator[Violation]:
    if gate.effect is None or gate.kind != BINARY:
        return
    if gate.effect > 1 or (gate.baseline is not None and gate.effect < gate.baseline):
        low = 0.0 if gate.baseline is None else gate.baseline
        yield Violation(
            f"gates.{index}.effect",
            f"got {write(gate.effect, 'fraction')}, expected the share of a bad build, between"
            f" {write(low, 'fraction')} and 100 %",
            "choose a share in this range",
            (f"gates.{index}.baseline",),
        )


def _metric_is_told_by_devices(plan: PlanSections) -> Iterator[Violation]:
    if plan.model is None:
        return
    for index, gate in enumerate(plan.gates):
        if METRICS[gate.metric].used and plan.model.use.per_day == 0:
            yield Violation(
                f"gates.{index}.metric",
                f"got {gate.metric!r}, which no device tells with 'use: {{per_day: 0}}'",
                "raise model.use.per_day, or watch install_failure",
                ("model.use",),
            )


def _analyses_name_gates(plan: PlanSections) -> Iterator[Violation]:
    known = {gate.name for gate in plan.gates}
    for key, told in _analyses(plan):
        for name in told:
            if name not in known:
                guess = nearest(name, known)
                remedy = f"write '{guess}'" if guess else "add it under 'gates'"
                yield Violation(key, f"got {name!r}, which is no gate of the plan", remedy, ("gates",))


def _analyses(plan: PlanSections) -> Iterator[tuple[str, tuple[str, ...]]]:
    if plan.strategy is None:
        return
    for index, action in enumerate(plan.strategy.steps or ()):
        if action.analysis is not None:
            yield f"strategy.steps.{index}.analysis", action.analysis
    for index, wave in enumerate(plan.strategy.waves or ()):
        yield f"strategy.waves.{index}.analysis", wave.analysis


def _gates_are_looked_at(plan: PlanSections) -> Iterator[Violation]:
    if plan.strategy is None:
        return
    named = {name for _, told in _analyses(plan) for name in told}
    stepped = plan.strategy.preset is not None and plan.strategy.paced is None
    for index, gate in enumerate(plan.gates):
        if gate.every_s is None and gate.name not in named and not stepped:
            where = "" if plan.strategy.paced else ", or name it in an 'analysis' of the strategy"
            yield Violation(
                f"gates.{index}",
                f"got the gate {gate.name!r}, at which nobody looks",
                f"add 'every: 1 h'{where}",
                ("strategy",),
            )


def _gates_begin_in_the_plan(plan: PlanSections) -> Iterator[Violation]:
    if plan.strategy is None:
        return
    lettings_in = 1 if plan.strategy.paced else max((step.number for step in plan.steps), default=0)
    for index, gate in enumerate(plan.gates):
        if gate.from_step > lettings_in > 0:
            yield Violation(
                f"gates.{index}.from_step",
                f"got {gate.from_step}, but the strategy lets devices in {lettings_in} times",
                f"write {lettings_in} or less",
                ("strategy",),
            )


def _one_hold_out(plan: PlanSections) -> Iterator[Violation]:
    told = [(index, gate.control) for index, gate in enumerate(plan.gates) if gate.control is not None]
    for index, control in told[1:]:
        if control != told[0][1]:
            yield Violation(
                f"gates.{index}.control",
                f"got {write(control, 'fraction')}, but the gate {plan.gates[told[0][0]].name!r} holds out"
                f" {write(told[0][1] or 0.0, 'fraction')}, and one hold-out serves all gates",
                "write the same share",
            )


GATE_LAWS: Final[tuple[PlanLaw, ...]] = (
    _method_fits_metric,
    _method_is_told_enough,
    _both_arms_tell,
    _nothing_is_told_in_vain,
    _metric_is_told_by_devices,
    _analyses_name_gates,
    _gates_are_looked_at,
    _gates_begin_in_the_plan,
    _one_hold_out,
)
