"""From a scenario to the fleet: profiles, plans by device class, who is left out and why, and the device state."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fedlite.compose import auto_plans
from fedlite.compose.protocol import join
from fedlite.compose.shipping import artefact_of
from fedlite.devices import channels
from fedlite.fleet import population
from fedlite.fleet.hardware import wall_bytes
from fedlite.fleet.rules import Budgets, Rules
from fedlite.fleet.state import Fleet
from fedlite.pricing import Job, Work, heat_of, on_device_s, price
from fedlite.scenario.fleet import Always as AlwaysSection
from fedlite.scenario.fleet import Diurnal as DiurnalSection
from fedlite.scenario.fleet import Fleet as FleetSection
from fedlite.scenario.profiles import load_profile
from fedlite.simulation.availability import Always, Availability, Diurnal, DiurnalHabits, TraceReplay, read_trace
from fedlite.units import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.compose.learning import Learning
    from fedlite.compression.plan import Plan
    from fedlite.devices.profile import DeviceProfile
    from fedlite.planning.auto import Choice
    from fedlite.scenario.schema import FleetScenario, Scenario


@dataclass(frozen=True)
class DeviceClass:
    """One profile of the fleet with the plan it follows, what that costs a large client, and why it cannot take part.

    `choice` says why an `auto` plan is what it is; None for a plan that was told.
    """

    profile: DeviceProfile
    share: float
    plan: Plan
    work: Work
    excluded: str
    choice: Choice | None = None

    @property
    def plan_reason(self) -> str:
        """Why an `auto` plan is what it is; "" for a plan that was told."""
        return "" if self.choice is None else self.choice.reason


def classes(scenario: Scenario, learning: Learning) -> list[DeviceClass]:
    """Choose each profile's plan and price it."""
    made = []
    shipments = auto_plans.Shipments(learning)
    for name, share in scenario.fleet.mix.items():
        profile = load_profile(name)
        price_of = partial(price_plan, profile, scenario=scenario, learning=learning)
        if scenario.rule_for(profile=profile.name, tier=profile.tier).auto:
            choice = auto_plans.choose(profile, scenario, learning, budgets_of(scenario.fleet), price_of, shipments)
            excluded = "" if choice.fits else choice.reason
            made.append(DeviceClass(profile, share, choice.plan, price_of(choice.plan), excluded, choice))
            continue
        plan = scenario.plan_for(profile=profile.name, tier=profile.tier)
        if plan.deliveries:
            # A delivery that does not apply is refused before anything is trained.
            artefact_of(replace(learning.ware(learning.arrays), round_=0), plan)
        work = price_of(plan)
        reason = why_excluded(profile, plan, work, scenario.fleet, learning)
        made.append(DeviceClass(profile, share, plan, work, reason))
    return made


def price_plan(
    profile: DeviceProfile, plan: Plan, scenario: Scenario, learning: Learning, examples: int | None = None
) -> Work:
    """Return what a round's local training under a plan costs on a profile: for each client, or one of so many rows."""
    local = scenario.training.local_config()
    owned = [len(rows) for rows in learning.rows]
    counts = owned if examples is None else [examples]
    job = Job(
        samples=np.array([local.samples(count) for count in counts], dtype=np.float64),
        steps=np.array([local.steps(count) for count in counts], dtype=np.float64),
        # A batch is never larger than the client's own rows.
        batch=min(local.batch_size, max(owned)),
        optimizer=local.optimizer,
        momentum=local.momentum,
    )
    return price(profile, plan, learning.workload(plan.structure), job)


def round_s(profile: DeviceProfile, work: Work, budgets: Budgets, owners: NDArray[np.int64]) -> float:
    """Return how long a round's training really takes on a profile, in the mean over devices that hold these owners."""
    onset_s, sustained = heat_of(profile)
    killed = work.peak_bytes > wall_bytes(profile, budgets)
    taken = on_device_s(
        work.time_s,
        0.0 if killed else work.peak_bytes,
        ram_bytes=profile.job_ram_bytes.value,
        cpu_share=budgets.cpu_share,
        onset_s=onset_s,
        sustained=sustained,
    )
    return float(np.mean(np.asarray(taken)[owners])) if len(owners) else float(np.mean(taken))


def why_excluded(profile: DeviceProfile, plan: Plan, work: Work, section: FleetSection, learning: Learning) -> str:
    """Return why devices of a profile can never finish a job under a plan, "" if they can."""
    budget_bytes = wall_bytes(profile, budgets_of(section))
    if work.peak_bytes > budget_bytes:
        return (
            f"training needs {show(work.peak_bytes, 'bytes')} of memory, a job may take {show(budget_bytes, 'bytes')}; "
            "give this class a narrower plan or a smaller batch"
        )
    down_bytes = learning.downlink_bytes(plan)
    storage_bytes = min(profile.storage_bytes.value, section.budgets.storage_bytes or math.inf)
    if down_bytes > storage_bytes:
        return (
            f"the model is {show(down_bytes, 'bytes')}, free storage {show(storage_bytes, 'bytes')}; "
            "give this class a narrower plan"
        )
    access = section.network.access or profile.radios[0]
    return channels.infeasible(access, profile.radio_generation, float(down_bytes)) or ""


def nobody_fits(made: list[DeviceClass]) -> str:
    """Return the error text for a fleet in which every class is left out; a reason that several have is told once."""
    alike: dict[str, list[str]] = {}
    for one in made:
        alike.setdefault(one.excluded, []).append(one.profile.name)
    reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in alike.items())
    return f"fleet.mix: got no device class that can take part ({reasons})"


def build(scenario: FleetScenario, profiles: list[DeviceProfile], excluded: list[bool]) -> Fleet:
    """Draw the population and set up its state."""
    fleet = of_section(scenario.fleet, scenario.seed, profiles, excluded)
    join(scenario, fleet)
    return fleet


def of_section(
    section: FleetSection, seed: int, profiles: list[DeviceProfile], excluded: list[bool] | None = None
) -> Fleet:
    """Draw a fleet that nobody checks in to yet."""
    people = drawn(section, seed, profiles)
    chosen = section.rules
    rules = Rules(chosen.charging, chosen.unmetered, chosen.idle, chosen.min_battery)
    return Fleet(
        people,
        _availability(section, seed),
        rules,
        budgets_of(section),
        seed=seed,
        excluded=_spread(excluded or [False] * len(profiles), people.profile_of),
        start_s=section.start_s,
    )


def drawn(section: FleetSection, seed: int, profiles: list[DeviceProfile]) -> population.Population:
    """Draw the devices alone: which profile each has, and its links."""
    return population.draw(
        profiles,
        list(section.mix.values()),
        section.devices,
        seed,
        access=section.network.access,
        region=section.network.region,
    )


def _spread(values: list[bool], profile_of: NDArray[np.int16]) -> NDArray[np.bool_]:
    return np.asarray(values, dtype=bool)[profile_of]


def budgets_of(section: FleetSection) -> Budgets:
    """Return what a job may use, as the fleet takes it."""
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
    return TraceReplay(read_trace(given.file), seed, period_s=given.period_s)
