"""From a rollout plan to what is rehearsed: the fleet, the variants on its profiles, waves, gates and worlds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.compose.fleet import of_section
from fedlite.errors import FedliteError
from fedlite.rollout.audience import Adoption, Audience
from fedlite.rollout.builds import assign
from fedlite.rollout.charges import Charges
from fedlite.rollout.delivery import Policy
from fedlite.rollout.gates import METHODS
from fedlite.rollout.heat import Heat
from fedlite.rollout.monitor import Watch
from fedlite.rollout.plan import Old, Plan
from fedlite.rollout.signals import Telemetry
from fedlite.rollout.strategy import Ramp, Stage
from fedlite.rollout.worlds import Behaviour, World
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.protocol import Production
from fedlite.scenario.rollout.devices import of_class
from fedlite.units import UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.devices.profile import DeviceProfile
    from fedlite.fleet.state import Fleet
    from fedlite.rollout.builds import Assigned, Variant
    from fedlite.rollout.strategy import Strategy
    from fedlite.scenario.rollout.gates import Gate
    from fedlite.scenario.rollout.plan import RolloutPlan
    from fedlite.scenario.rollout.worlds import World as WorldSection

    Floats = NDArray[np.float64]

RETRY_S: Final = 900.0
"""Until a failed download is tried again: what federated-compute waits after a lost condition."""
FLASH_BPS: Final = 80e6
"""Rate at which an artefact is written, 10 MB/s. Assumed."""
_MINUTE_S: Final = UNITS["time"]["min"]


@dataclass(frozen=True)
class Rehearsed:
    """A plan made into numbers on its fleet."""

    fleet: Fleet
    plan: Plan
    worlds: tuple[World, ...]
    as_planned: World
    """One in which the new model is what the plan takes it to be."""

    @cached_property
    def charges(self) -> Charges | None:
        """How full batteries are, where downloads mind it: only who plays the plan needs to know."""
        if self.plan.policy.min_battery <= 0:
            return None
        return Charges(self.fleet, self.plan.start_s, self.plan.horizon_s)

    @property
    def profiles(self) -> tuple[str, ...]:
        """Names of the fleet's profiles."""
        return tuple(profile.name for profile in self.fleet.population.profiles)

    @property
    def devices(self) -> NDArray[np.int64]:
        """Devices of each profile."""
        return np.bincount(self.fleet.population.profile_of, minlength=len(self.profiles))


def rehearsed(plan: RolloutPlan, variants: Sequence[Variant]) -> Rehearsed:
    """Return what a plan comes to with its variants priced on the profiles of its mix, in their order."""
    profiles = [load_profile(name) for name in plan.fleet.mix]
    fleet = of_section(plan.fleet, plan.seed, profiles)
    start_s = plan.fleet.start_s
    storage_bytes = fleet.hardware.storage_bytes
    if plan.download.storage_not_low:
        storage_bytes = storage_bytes - (plan.model.old.payload_bytes or 0.0)
    heat = Heat(plan.model.use.at_once, fleet.hardware.onset_s, fleet.hardware.sustained)
    best_accuracy = plan.model.match == "best-accuracy"
    assigned = assign(variants, fleet.hardware.job_ram_bytes, storage_bytes, heat, best_accuracy=best_accuracy)
    good = _behaviour(plan, None, profiles)
    made = Plan(
        assigned=assigned,
        old=_old(plan, assigned, profiles),
        audience=_audience(plan),
        policy=_policy(plan),
        strategy=_strategy(plan, profiles),
        watches=tuple(_watch(gate, fleet) for gate in plan.gates),
        telemetry=Telemetry(),
        inferences_per_day=plan.model.use.per_day,
        heat=heat,
        start_s=start_s,
        horizon_s=start_s + plan.horizon_s,
        seed=plan.seed,
    )
    worlds = tuple(_world(plan, world, good, profiles) for world in plan.worlds)
    _check_drops(worlds, assigned, profiles)
    return Rehearsed(fleet, made, worlds, World("as planned", good, np.zeros(len(profiles), dtype=np.bool_)))


def _audience(plan: RolloutPlan) -> Audience:
    section, protocol = plan.audience, plan.fleet.protocol
    adoption = None
    if section.adoption is not None:
        adoption = Adoption(section.adoption.shares, section.adoption.means_s)
    check_in = protocol.check_in if isinstance(protocol, Production) else None
    return Audience(
        opted_out=section.opt_out,
        by_hand=1.0 - section.automatic,
        adoption=adoption,
        held_out=plan.control,
        full_storage=section.full_storage,
        leave_per_month=section.churn_per_month,
        every_s=check_in.every_s if check_in else 0.0,
        slop_s=check_in.jitter_s if check_in else 0.0,
    )


def _policy(plan: RolloutPlan) -> Policy:
    section = plan.download
    wanted = {"plugged": section.charging, "unmetered": section.unmetered, "idle": section.idle}
    return Policy(
        conditions=frozenset(name for name, told in wanted.items() if told),
        min_battery=section.min_battery,
        most_metered_bytes=section.most_metered_bytes or np.inf,
        hours=section.window_s,
        jitter_s=section.jitter_s,
        attempts=1 + section.retries,
        retry_s=RETRY_S,
        timeout_s=section.timeout_s or np.inf,
        in_progress_s=section.in_progress_s or np.inf,
        failure=section.failure,
        flash_bps=FLASH_BPS,
    )


def _strategy(plan: RolloutPlan, profiles: Sequence[DeviceProfile]) -> Strategy:
    rate = plan.strategy.paced
    if rate is not None:
        most = rate.most_per_minute / _MINUTE_S
        if rate.increase is None:
            return Ramp(most, most)
        of_succeeded = rate.increase.succeeded is not None
        after = rate.increase.succeeded if of_succeeded else rate.increase.notified
        base = (rate.base_per_minute or rate.most_per_minute) / _MINUTE_S
        return Ramp(base, most, rate.factor or 1.0, int(after or 1), of_succeeded=of_succeeded)
    return tuple(
        Stage(
            label=step.name,
            number=step.number,
            share=step.weight,
            hold_s=step.hold_s,
            count=step.count,
            installed=step.installed,
            waits_s=plan.strategy.approval_s if step.waits else 0.0,
            profiles=np.array([step.fits(profile=profile.name, tier=profile.tier) for profile in profiles]),
            analyses=step.gates,
        )
        for step in plan.steps
    )


def _watch(gate: Gate, fleet: Fleet) -> Watch:
    by_class = gate.per == "class"
    # Divided among the classes, so that all of them together give no more false alarms than the fleet would.
    alpha = gate.alpha / (len(np.unique(fleet.population.profile_of)) if by_class else 1)
    method: Any = METHODS[gate.method]
    told = {
        "alpha": alpha, "baseline": gate.baseline, "threshold": gate.threshold,
        "min_executed": gate.min_executed, "direction": gate.worse,
    }  # fmt: skip
    known = method.__dataclass_fields__
    return Watch(
        name=gate.name,
        metric=gate.metric,
        gate=method(**{key: value for key, value in told.items() if key in known}),
        by_class=by_class,
        on_fail=gate.on_fail,
        every_s=gate.every_s or np.inf,
        from_stage=gate.from_step,
        failure_limit=gate.failure_limit,
    )


def _old(plan: RolloutPlan, assigned: Assigned, profiles: Sequence[DeviceProfile]) -> Old:
    old = plan.model.old
    accuracy = [of_class(old.accuracy, profile=profile.name, tier=profile.tier) for profile in profiles]
    rate = np.full(len(profiles), -math.log1p(-min(old.crash_per_day, 1.0 - 1e-12)))
    none, one = np.zeros(len(profiles)), np.ones(len(profiles))
    return Old(
        payload_bytes=old.payload_bytes or 0.0,
        behaviour=Behaviour(none, rate, none, one),
        # Where nothing is told of the old model, the new one gains nothing and loses nothing.
        accuracy=np.array([new if x is None else x for x, new in zip(accuracy, assigned.accuracy, strict=True)]),
        latency_s=assigned.latency_s * old.latency_factor,
        inference_j=assigned.inference_j * old.latency_factor,
    )


def _behaviour(plan: RolloutPlan, world: WorldSection | None, profiles: Sequence[DeviceProfile]) -> Behaviour:
    number = len(profiles)
    failure = np.full(number, plan.model.install_failure)
    crash = np.full(number, plan.model.crash_per_day)
    drop, factor, after_s = np.zeros(number), np.ones(number), 0.0
    if world is not None:
        changes, after_s = world.changes, world.after_s
        on = np.array([world.on.fits(profile=profile.name, tier=profile.tier) for profile in profiles])
        for values, told in (
            (failure, changes.install_failure),
            (crash, changes.crash_per_day),
            (drop, changes.accuracy_drop),
            (factor, changes.latency_factor),
        ):
            if told is not None:
                values[on] = told
    return Behaviour(failure, -np.log1p(-np.minimum(crash, 1.0 - 1e-12)), drop, factor, after_s)


def _check_drops(worlds: Sequence[World], assigned: Assigned, profiles: Sequence[DeviceProfile]) -> None:
    """Refuse a drop of more accuracy than there is, of which a file tells nothing where a run was measured."""
    for index, world in enumerate(worlds):
        for at in np.flatnonzero(world.new.accuracy_drop > assigned.accuracy).tolist():
            told, most = (f"{x[at] * 100:.6g} %" for x in (world.new.accuracy_drop, assigned.accuracy))
            name = assigned.names[assigned.variant_of[at]]
            raise FedliteError(
                f"worlds.{index}.changes.accuracy_drop: got {told}, more than the accuracy of {name!r} on"
                f" {profiles[at].name}, {most}; write {most} or less"
            )


def _world(plan: RolloutPlan, world: WorldSection, good: Behaviour, profiles: Sequence[DeviceProfile]) -> World:
    own = _behaviour(plan, world, profiles)
    bad = (
        (own.install_failure > good.install_failure)
        | (own.crashes_per_day > good.crashes_per_day)
        | (own.accuracy_drop > good.accuracy_drop)
        | (own.latency_factor > good.latency_factor)
    )
    return World(world.name, own, bad)
