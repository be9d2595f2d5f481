"""What the gates of a plan can see of each of its waves, before anything is rehearsed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.rollout.power import minimum_detectable_effect, operating
from fedlite.rollout.wave import Wave
from fedlite.units import DAY_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.rollout.gates.evidence import Gate as Method
    from fedlite.rollout.monitor import Watch
    from fedlite.scenario.rollout.gates import Gate
    from fedlite.scenario.rollout.plan import RolloutPlan

_USUAL_RATIO, _USUAL_DROP, _USUAL_RISE = 2.0, 0.02, 0.1
"""What a gate without an effect of its own is asked about: twice the failures, two points less, a tenth slower."""
_MOST_LOOKS: Final = 1_000
_FARTHEST: Final = 3.0
_EFFECTS: Final = 13
"""Of an operating curve: up to three times the effect in twelve steps, the effect itself being one of them."""
_CURVE_WAVES: Final = 1_000
"""Simulated at each point of a curve, where nothing exact is known."""


def of_plan(plan: RolloutPlan, made: Rehearsed) -> list[dict[str, Any]]:
    """Return, for every gate and wave, how many devices report, the power at the gate's effect and the least one seen.

    A gate that judges by class is told for the largest class and for the smallest. `worlds` is the power in each world
    in which something is wrong that the gate reads, in a wave drawn from the whole fleet.
    """
    return [case.named | _seen(made, case) for case in _cases(plan, made)]


def curves(plan: RolloutPlan, made: Rehearsed) -> list[dict[str, Any]]:
    """Return the operating curve of every gate and wave: from no effect to three times that which the gate is for.

    `effects` and `power` have the same length; the effect that `of_plan` tells is among them. Gates of a metric of
    which nothing is known in advance have none.
    """
    return [case.named | _curve(case.watch.gate, case.wave, case.effect) for case in _cases(plan, made) if case.wave]


@dataclass(frozen=True)
class _Case:
    """A gate of the plan on one group of the devices of one wave."""

    watch: Watch
    gate: Gate
    label: str
    group: str
    n: int
    wave: Wave | None
    """None where nothing is known of the metric in advance."""

    @property
    def named(self) -> dict[str, Any]:
        return {"name": self.gate.name, "wave": self.label, "of": self.group, "n": self.n}

    @property
    def effect(self) -> float:
        return _effect(self.gate, self.wave.baseline) if self.wave else math.nan


def _cases(plan: RolloutPlan, made: Rehearsed) -> Iterator[_Case]:
    for gate, watch in zip(plan.gates, made.plan.watches, strict=True):
        baseline, sd = _baseline(plan, made, gate)
        for label, devices, hold_s in _waves(plan, made):
            for group, n in _groups(watch, made, devices):
                # Two arms of so many tell as much as these two of unequal size.
                arm = _even(n, plan.control) if watch.gate.two_arms else n
                looks = min(arm, _looks(watch, hold_s), _MOST_LOOKS)
                wave = None if math.isnan(baseline) else Wave(arm, baseline, looks=looks, sd=sd)
                yield _Case(watch, gate, label, group, n, wave)


def _even(n: int, control: float) -> int:
    held = control / (1.0 - control)
    return max(1, int(2.0 * n * held / (1.0 + held)))


def _curve(gate: Method, wave: Wave, effect: float) -> dict[str, Any]:
    wave = replace(wave, replications=_CURVE_WAVES)
    effects = wave.baseline + (effect - wave.baseline) * np.linspace(0.0, _FARTHEST, _EFFECTS)
    if wave.sd is None:
        effects = np.unique(np.clip(effects, 0.0, 1.0))
    return {"effects": effects.tolist(), "power": [operating(gate, wave, one).power for one in effects.tolist()]}


def _waves(plan: RolloutPlan, made: Rehearsed) -> list[tuple[str, int, float]]:
    """Return label, devices let in until then that take part, and duration of each wave; a rate is one wave of all."""
    fits = made.plan.assigned.variant_of >= 0
    reachable = float(made.devices[fits].sum()) * (1.0 - plan.audience.opt_out) * (1.0 - plan.control)
    strategy = made.plan.strategy
    if not isinstance(strategy, tuple):
        return [("all", int(reachable), plan.horizon_s)]
    waves: dict[int, tuple[str, int, float]] = {}
    for stage in strategy:
        meant = made.devices[fits & (True if stage.profiles is None else stage.profiles)].sum()
        share = float(meant) / max(float(made.devices[fits].sum()), 1.0)
        _, _, before_s = waves.get(stage.number, ("", 0, 0.0))
        waves[stage.number] = (stage.label, stage.size(int(reachable * share)), before_s + stage.hold_s)
    return [wave for wave in waves.values() if wave[1]]


def _groups(watch: Watch, made: Rehearsed, devices: int) -> list[tuple[str, int]]:
    if not watch.by_class:
        return [("fleet", devices)]
    there = np.flatnonzero((made.plan.assigned.variant_of >= 0) & (made.devices > 0))
    total = made.devices[there].sum()
    ends = {int(there[np.argmax(made.devices[there])]), int(there[np.argmin(made.devices[there])])}
    found = [(made.profiles[index], int(devices * made.devices[index] / total)) for index in sorted(ends)]
    return [(name, n) for name, n in found if n]


def _looks(watch: Watch, hold_s: float) -> int:
    return max(1, int(hold_s // watch.every_s)) if math.isfinite(watch.every_s) else 1


def _seen(made: Rehearsed, case: _Case) -> dict[str, Any]:
    wave, method = case.wave, case.watch.gate
    if wave is None:
        return {"effect": None, "power": None, "mde": None, "worlds": {}}
    return {
        "effect": case.effect,
        "power": operating(method, wave, case.effect).power,
        "mde": minimum_detectable_effect(method, wave),
        "worlds": _of_worlds(made, case.gate, case.watch, wave) if case.group == "fleet" and wave.sd is None else {},
    }


def _baseline(plan: RolloutPlan, made: Rehearsed, gate: Gate) -> tuple[float, float | None]:
    """Return rate or mean of a good build, and the standard deviation of a metric between devices."""
    telemetry, days = made.plan.telemetry, made.plan.telemetry.window_s / DAY_S
    if gate.metric == "install_failure":
        return gate.baseline or plan.model.install_failure, None
    if gate.metric == "crash":
        return gate.baseline or 1.0 - (1.0 - plan.model.crash_per_day) ** days, None
    if gate.metric == "accuracy":
        mean = float(np.average(np.nan_to_num(made.plan.assigned.accuracy), weights=made.devices))
        return mean, math.sqrt(telemetry.accuracy_sd**2 + mean * (1.0 - mean) / telemetry.labels)
    if gate.metric == "latency_p95":
        return 1.0, telemetry.latency_sd
    return math.nan, None


def _effect(gate: Gate, baseline: float) -> float:
    if gate.metric == "accuracy":
        return baseline - (gate.effect or _USUAL_DROP)
    if gate.metric == "latency_p95":
        return baseline * (1.0 + (gate.effect or _USUAL_RISE))
    return gate.effect or min(1.0, _USUAL_RATIO * baseline)


def _of_worlds(made: Rehearsed, gate: Gate, watch: Watch, wave: Wave) -> dict[str, float]:
    told = {}
    for world in made.worlds:
        rates = {"install_failure": world.new.install_failure, "crash": -np.expm1(-world.new.crashes_per_day)}
        rate = float(np.average(rates[gate.metric], weights=made.devices))
        if rate > wave.baseline:
            told[world.name] = operating(watch.gate, wave, rate).power
    return told
