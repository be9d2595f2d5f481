"""From a scenario to the fleet: profiles, plans by device class, who is left out and why, and the device state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fedlite.compose import auto_plans, plan_price
from fedlite.devices import compute, radio
from fedlite.fleet import population
from fedlite.fleet.pricing import wall_bytes
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.flower.native_clients import PlanCost
from fedlite.scenario.fleet import Always as AlwaysSection
from fedlite.scenario.fleet import Diurnal as DiurnalSection
from fedlite.scenario.fleet import Fleet as FleetSection
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Always, Availability, Diurnal, DiurnalHabits, TraceReplay, read_trace
from fedlite.units import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.compose.learning import Learning
    from fedlite.compression.plan import CompressionPlan
    from fedlite.devices.profile import DeviceProfile
    from fedlite.scenario.schema import FleetScenario, Scenario


@dataclass(frozen=True)
class DeviceClass:
    """One profile of the fleet with the plan it follows, what that costs, and why it cannot take part (or "").

    `plan_reason` says why an `auto` plan is what it is; "" for a plan that was told.
    """

    profile: DeviceProfile
    share: float
    plan: CompressionPlan
    cost: PlanCost
    excluded: str
    plan_reason: str = ""


def classes(scenario: Scenario, learning: Learning) -> list[DeviceClass]:
    """Choose each profile's plan and price it."""
    made = []
    for name, share in scenario.fleet.mix.items():
        profile = load_profile(name)
        price = partial(price_plan, profile, scenario=scenario, learning=learning)
        if scenario.rule_for(profile=profile.name, tier=profile.tier).auto:
            choice = auto_plans.choose(profile, scenario, learning, _budgets(scenario.fleet), price)
            excluded = "" if choice.fits else choice.reason
            made.append(DeviceClass(profile, share, choice.plan, price(choice.plan), excluded, choice.reason))
            continue
        plan = scenario.plan_for(profile=profile.name, tier=profile.tier)
        cost = price(plan)
        reason = why_excluded(profile, plan, cost, scenario.fleet, learning)
        made.append(DeviceClass(profile, share, plan, cost, reason))
    return made


def price_plan(profile: DeviceProfile, plan: CompressionPlan, scenario: Scenario, learning: Learning) -> PlanCost:
    """Return what local training under a plan costs on a profile."""
    local = scenario.training.local
    workload = learning.workload(plan.width)
    step = plan_price.step_of(profile, workload, plan)
    # A batch is never larger than the client's own rows.
    batch = min(local.batch_size, max(len(rows) for rows in learning.rows))
    peak = plan_price.training_peak(profile, workload, plan, batch, local.optimizer, local.momentum)
    return PlanCost(
        fixed_s=step.fixed_s,
        per_sample_s=step.per_sample_s,
        peak_bytes=float(peak.value),
        inference_s=float(compute.inference_s(profile, workload).value),
        low=step.low_factor,
        high=step.high_factor,
        calibration=str(step.calibration),
    )


def why_excluded(
    profile: DeviceProfile, plan: CompressionPlan, cost: PlanCost, section: FleetSection, learning: Learning
) -> str:
    """Return why devices of a profile can never finish a job under a plan, "" if they can."""
    budget_bytes = wall_bytes(profile, _budgets(section))
    if cost.peak_bytes > budget_bytes:
        return (
            f"training needs {show(cost.peak_bytes, 'bytes')} of memory, a job may take {show(budget_bytes, 'bytes')}; "
            "give this class a narrower plan or a smaller batch"
        )
    down_bytes = learning.downlink_bytes(plan)
    storage_bytes = min(profile.storage_bytes.value, section.budgets.storage_bytes or math.inf)
    if down_bytes > storage_bytes:
        return (
            f"the model is {show(down_bytes, 'bytes')}, free storage {show(storage_bytes, 'bytes')}; "
            "give this class a narrower plan"
        )
    return radio.infeasible(section.network.access or profile.radios[0], float(down_bytes)) or ""


def nobody_fits(made: list[DeviceClass]) -> str:
    """Return the error text for a fleet in which every class is left out."""
    reasons = "; ".join(f"{device_class.profile.name}: {device_class.excluded}" for device_class in made)
    return f"fleet.mix: got no device class that can take part ({reasons})"


def build(scenario: FleetScenario, profiles: list[DeviceProfile], excluded: list[bool]) -> Fleet:
    """Draw the population and set up its state."""
    section = scenario.fleet
    people = population.draw(
        profiles,
        list(section.mix.values()),
        section.devices,
        scenario.seed,
        access=section.network.access,
        region=section.network.region,
    )
    chosen = section.rules
    rules = Rules(chosen.charging, chosen.unmetered, chosen.idle, chosen.min_battery)
    return Fleet(
        people,
        _availability(section, scenario.seed),
        rules,
        _budgets(section),
        seed=scenario.seed,
        excluded=_spread(excluded, people.profile_of),
        start_s=section.start_s,
    )


def _spread(values: list[bool], profile_of: NDArray[np.int16]) -> NDArray[np.bool_]:
    return np.asarray(values, dtype=bool)[profile_of]


def _budgets(section: FleetSection) -> Budgets:
    given = section.budgets

    def or_(value: float | None, default: float) -> float:
        return default if value is None else value

    return Budgets(
        cpu_share=or_(given.cpu_share, 1.0),
        cpu_time_s=or_(given.cpu_time_s, math.inf),
        memory_bytes=given.memory_bytes,
        battery_floor=or_(given.battery_floor, 0.0),
        energy_per_day_j=or_(given.energy_per_day_j, math.inf),
        storage_bytes=given.storage_bytes,
        metered_bytes_per_month=or_(given.metered_per_month_bytes, math.inf),
    )


def _availability(section: FleetSection, seed: int) -> Availability:
    given = section.availability
    if isinstance(given, AlwaysSection):
        return Always()
    if isinstance(given, DiurnalSection):
        return Diurnal(seed, DiurnalHabits(time_zones_h=given.time_zones, **given.habits))
    return TraceReplay(read_trace(given.file), seed)
