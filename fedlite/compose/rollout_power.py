"""What the gates of a plan can see of each of its waves, before anything is rehearsed.

Gates look when the plan has them look, at reports that come in as they would from a good build: see `Arrivals`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.rollout.arrivals import Arrivals
from fedlite.rollout.power import devices_needed, minimum_detectable_effect, operating
from fedlite.rollout.wave import Part, Wave
from fedlite.units import DAY_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fedlite.compose.rollout_plan import Rehearsed
    from fedlite.rollout.gates.evidence import Gate as Method
    from fedlite.rollout.monitor import Watch
    from fedlite.rollout.worlds import World
    from fedlite.scenario.rollout.gates import Gate
    from fedlite.scenario.rollout.plan import RolloutPlan

    Ids = NDArray[np.int64]
    Floats = NDArray[np.float64]

_USUAL_RATIO, _USUAL_DROP, _USUAL_RISE = 2.0, 0.02, 0.1
"""What a gate without an effect of its own is asked about: twice the failures, two points less, a tenth slower."""
_FOLLOWED: Final = 500
"""Looks that are followed: all of the first, which decide where few have reported, and as many of the others."""
_MOST_RANKED: Final = 5_000
"""Devices that a gate of samples ranks, all looks together."""
_ENOUGH: Final = 0.8
"""Power that is asked for."""
_ROUNDING: Final = 1e-9
_FARTHEST: Final = 3.0
_EFFECTS: Final = 13
"""Of an operating curve: up to three times the effect in twelve steps, the effect itself being one of them."""
_CURVE_WAVES: Final = 1_000
"""Simulated at each point of a curve, where nothing exact is known."""


def of_plan(plan: RolloutPlan, made: Rehearsed) -> list[dict[str, Any]]:
    """Return, for every gate and wave from which on it looks, what it sees until the next wave.

    Returns
    -------
    list of dict
        `n` devices that were let in, `reports` of them that have come in, `control` those of the control arm; `effect`,
        `power` at it, `mde`: the least effect seen with 80 % power, `needed`: reports that would see the effect with
        it, coming in as these do, None where there are enough or no number would do. `worlds`: power in each world in
        which something is wrong that the gate reads. A gate that judges by class is told for the largest class and for
        the smallest.
    """
    return [case.named | _seen(made, case) for case in _cases(plan, made)]


def curves(plan: RolloutPlan, made: Rehearsed) -> list[dict[str, Any]]:
    """Return the operating curve of every gate and wave: from no effect to three times that which the gate is for.

    `effects` and `power` have the same length; the effect that `of_plan` tells is among them. Gates of a metric of
    which nothing is known in advance have none, nor have waves of which nobody has reported.
    """
    return [case.named | _curve(case.watch.gate, case.wave, case.effect) for case in _cases(plan, made) if case.wave]


@dataclass(frozen=True)
class _Case:
    """A gate of the plan on one group of the devices of one wave."""

    watch: Watch
    gate: Gate
    label: str
    group: int
    """Profile, -1 for the fleet."""
    group_name: str
    n: int
    devices: Ids
    """Of each profile, by which rates and means are weighted."""
    baseline: float
    """Rate or mean of a good build, NaN where nothing is known of it."""
    wave: Wave | None
    """None where nothing is known of the metric in advance, or nobody has reported."""

    @property
    def named(self) -> dict[str, Any]:
        return {
            "name": self.gate.name, "wave": self.label, "of": self.group_name, "n": self.n,
            "reports": self.wave.n if self.wave else 0,
            "control": self.wave.control[-1] if self.wave and self.wave.control else None,
        }  # fmt: skip

    @property
    def effect(self) -> float:
        return _effect(self.gate, self.baseline)


def _cases(plan: RolloutPlan, made: Rehearsed) -> Iterator[_Case]:
    arrivals = Arrivals(made.plan, made.fleet, made.as_planned, made.charges)
    for gate, watch in zip(plan.gates, made.plan.watches, strict=True):
        for period in arrivals.periods:
            if period.number < watch.from_stage:
                continue
            for group, name in _groups(watch, made):
                devices = _mix(made, arrivals.reported(watch, period, len(made.profiles)), group)
                baseline, parts = _baseline(plan, made, gate, devices)
                looks = _followed(watch, arrivals.seen(watch, period, group))
                told = None
                if looks.size and not math.isnan(baseline):
                    treated, *control = (tuple(arm.tolist()) for arm in looks)
                    told = Wave(
                        treated[-1], baseline, schedule=treated, control=control[0] if control else (),
                        spare=watch.failure_limit, sd=_together(parts), parts=parts,
                    )  # fmt: skip
                n = arrivals.let_in(period, group)
                yield _Case(watch, gate, period.label, group, name, n, devices, baseline, told)


def _followed(watch: Watch, seen: tuple[Ids, Ids | None]) -> Ids:
    """Return the reports of one or two arms at the looks that are worth following, (arms, k): some of all, and news."""
    arms = np.array([arm for arm in seen if arm is not None and (arm is seen[0] or watch.gate.two_arms)])
    arms = arms[:, (arms > 0).all(axis=0)]
    if not watch.failure_limit:
        arms = np.unique(arms, axis=1)
    if watch.gate.reads == "samples" and arms.size:
        return arms[:, _spread(arms.shape[1], max(1, _MOST_RANKED // int(arms[:, -1].sum())))]
    later = arms[:, _FOLLOWED:]
    return np.concatenate([arms[:, :_FOLLOWED], later[:, _spread(later.shape[1], _FOLLOWED)]], axis=1)


def _spread(number: int, most: int) -> Ids:
    """Return at most so many of the positions 0 to number - 1, evenly, with the last one."""
    kept = min(number, most)
    return -(-number * np.arange(1, kept + 1) // max(kept, 1)) - 1


def _curve(gate: Method, wave: Wave, effect: float) -> dict[str, Any]:
    wave = replace(wave, replications=_CURVE_WAVES)
    effects = wave.baseline + (effect - wave.baseline) * np.linspace(0.0, _FARTHEST, _EFFECTS)
    if wave.sd is None:
        effects = np.unique(np.clip(effects, 0.0, 1.0))
    return {"effects": effects.tolist(), "power": [operating(gate, wave, one).power for one in effects.tolist()]}


def _groups(watch: Watch, made: Rehearsed) -> list[tuple[int, str]]:
    if not watch.by_class:
        return [(-1, "fleet")]
    there = np.flatnonzero((made.plan.assigned.variant_of >= 0) & (made.devices > 0))
    ends = {int(there[np.argmax(made.devices[there])]), int(there[np.argmin(made.devices[there])])}
    return [(index, made.profiles[index]) for index in sorted(ends)]


def _seen(made: Rehearsed, case: _Case) -> dict[str, Any]:
    wave, method = case.wave, case.watch.gate
    if math.isnan(case.baseline):
        return {"effect": None, "power": None, "mde": None, "needed": None, "worlds": {}}
    if wave is None:
        worlds = dict.fromkeys(_effects_of_worlds(made, case), 0.0)
        return {"effect": case.effect, "power": 0.0, "mde": None, "needed": None, "worlds": worlds}
    power = operating(method, wave, case.effect).power
    return {
        "effect": case.effect,
        "power": power,
        "mde": minimum_detectable_effect(method, wave),
        "needed": None if power >= _ENOUGH else devices_needed(method, wave, case.effect, _ENOUGH),
        "worlds": {
            name: operating(method, wave, effect).power for name, effect in _effects_of_worlds(made, case).items()
        },
    }


def _baseline(plan: RolloutPlan, made: Rehearsed, gate: Gate, devices: Ids) -> tuple[float, tuple[Part, ...]]:
    """Return rate or mean of a good build, and of a metric the classes that make up its spread between devices.

    Latencies are multiples of their mean.
    """
    telemetry, days = made.plan.telemetry, made.plan.telemetry.window_s / DAY_S
    if gate.metric == "install_failure":
        return gate.baseline or plan.model.install_failure, ()
    if gate.metric == "crash":
        return gate.baseline or 1.0 - (1.0 - plan.model.crash_per_day) ** days, ()
    if gate.metric == "accuracy":
        accuracy = made.plan.assigned.accuracy
        return _mean(accuracy, devices), tuple(
            Part(share, own, math.sqrt(telemetry.accuracy_sd**2 + own * (1.0 - own) / telemetry.labels))
            for share, own in _shares(accuracy, devices)
        )
    if gate.metric == "latency_p95":
        latency_s = made.plan.heat.p95(made.plan.assigned.latency_s)
        return 1.0, tuple(
            Part(share, own, telemetry.latency_sd * own, slope=own)
            for share, own in _shares(latency_s / _mean(latency_s, devices), devices)
        )
    return math.nan, ()


def _mix(made: Rehearsed, reported: Ids, group: int) -> Ids:
    """Return how many devices of each profile stand for a group: those that have reported, else those that could."""
    fits = np.where(made.plan.assigned.variant_of >= 0, made.devices, 0)
    mine = (np.arange(len(fits)) == group) | (group < 0)
    return np.where(mine, reported if reported[mine].any() else fits, 0)


def _shares(values: Floats, devices: Ids) -> list[tuple[float, float]]:
    """Return the share of each class among so many devices of each, and its value."""
    return [(float(devices[i] / devices.sum()), float(values[i])) for i in np.flatnonzero(devices).tolist()]


def _mean(values: Floats, devices: Ids) -> float:
    return math.fsum(share * value for share, value in _shares(values, devices))


def _together(parts: tuple[Part, ...]) -> float | None:
    """Return the standard deviation of all devices, None without a metric."""
    if not parts:
        return None
    mean = math.fsum(part.share * part.mean for part in parts)
    return math.sqrt(math.fsum(part.share * (part.sd**2 + (part.mean - mean) ** 2) for part in parts))


def _effect(gate: Gate, baseline: float) -> float:
    if gate.metric == "accuracy":
        return baseline - (gate.effect or _USUAL_DROP)
    if gate.metric == "latency_p95":
        return baseline * (1.0 + (gate.effect or _USUAL_RISE))
    return gate.effect or min(1.0, _USUAL_RATIO * baseline)


def _effects_of_worlds(made: Rehearsed, case: _Case) -> dict[str, float]:
    """Return rate or mean of what the gate reads in each world in which that is worse than without a regression."""
    told = {}
    for world in made.worlds:
        effect = _mean_in(made, world, case)
        worse = case.baseline - effect if case.gate.metric == "accuracy" else effect - case.baseline
        if worse > _ROUNDING * case.baseline:
            told[world.name] = effect
    return told


def _mean_in(made: Rehearsed, world: World, case: _Case) -> float:
    new, assigned, telemetry = world.new, made.plan.assigned, made.plan.telemetry
    if case.gate.metric == "install_failure":
        values = new.install_failure
    elif case.gate.metric == "crash":
        values = -np.expm1(-new.crashes_per_day * max(0.0, telemetry.window_s - new.crashes_after_s) / DAY_S)
    elif case.gate.metric == "accuracy":
        values = assigned.accuracy - new.accuracy_drop
    else:
        heat = made.plan.heat
        cold_s = _mean(heat.p95(assigned.latency_s), case.devices)
        values = heat.p95(assigned.latency_s * new.latency_factor) / cold_s
    return _mean(values, case.devices)
