"""Argo-like steps and waves -> the one form that a rehearsal plays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fedlite.scenario.rollout.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fedlite.scenario.rollout.entries import Action, Wave


def of_steps(actions: Sequence[Action]) -> Iterator[Step]:
    """Yield what a list of weights, pauses and analyses comes to."""
    step = Step(0, "before", 0.0, 0)
    for action in actions:
        if action.set_weight is not None:
            if step.number or step != Step(0, "before", 0.0, 0):
                yield step
            number = step.number + 1
            step = Step(number, f"{action.set_weight * 100:.6g} %", action.set_weight, 0)
        elif action.analysis is not None:
            if step.waits:  # what comes after a person's word is another stretch
                yield step
                step = _next(step)
            step = replace(step, gates=(*step.gates, *action.analysis))
        elif action.pause is not None:
            if step.waits or (step.gates and action.pause.duration_s is not None):
                yield step
                step = _next(step)
            held_s = action.pause.duration_s
            step = replace(step, waits=True) if held_s is None else replace(step, hold_s=step.hold_s + held_s)
    yield step


def _next(step: Step) -> Step:
    return replace(step, hold_s=0.0, gates=(), waits=False)


def of_waves(waves: Sequence[Wave]) -> Iterator[Step]:
    """Yield what a list of waves comes to; each holds until the next one begins."""
    if waves and waves[0].start_s:
        yield Step(0, "before", 0.0, 0, hold_s=waves[0].start_s)
    begun_s: float = waves[0].start_s or 0.0 if waves else 0.0
    let_in: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[float, int]] = {}
    for index, wave in enumerate(waves):
        meant = (tuple(sorted(wave.filter.tiers)), tuple(sorted(wave.filter.profiles)))
        weight, count = let_in.get(meant, (0.0, 0))
        # Ten digits, so that five times 20 % are all.
        weight = 1.0 if wave.rest else round(weight + (wave.percent or 0.0), 10)
        count += wave.count or 0
        let_in[meant] = weight, count
        following = waves[index + 1] if index + 1 < len(waves) else None
        hold_s = _until(following, begun_s) if following else 0.0
        begun_s += hold_s
        yield Step(
            index + 1,
            f"wave {index + 1}",
            min(1.0, weight),
            count,
            *meant,
            hold_s=hold_s,
            installed=following.installed if following else None,
            gates=wave.analysis,
            waits=bool(following and following.approval),
        )


def _until(following: Wave, begun_s: float) -> float:
    """Return how long after the beginning of a wave the next one may begin."""
    if following.start_s is not None:
        return max(0.0, following.start_s - begun_s)
    return following.after_s or 0.0
