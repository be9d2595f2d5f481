"""`plan: auto` of a scenario: what a job under each rung of the ladder asks of a device class, and what it may take."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np

from fedlite import wire
from fedlite.compression import width
from fedlite.devices import network, power, radio, thermal
from fedlite.devices.cost import Cost
from fedlite.learning import models
from fedlite.planning import auto

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compose.learning import Learning
    from fedlite.compression.plan import CompressionPlan
    from fedlite.devices.profile import DeviceProfile
    from fedlite.fleet.rules import Budgets
    from fedlite.flower.native_clients import PlanCost
    from fedlite.scenario.schema import Scenario

LARGE_CLIENT = 0.9
"""The quantile of the clients' examples that a plan must fit: nine in ten clients finish, outliers do not decide."""


def choose(
    profile: DeviceProfile,
    scenario: Scenario,
    learning: Learning,
    budgets: Budgets,
    price: Callable[[CompressionPlan], PlanCost],
) -> auto.Choice:
    """Return the mildest plan that fits a device class whose rule says `auto`.

    Parameters
    ----------
    profile, scenario, learning
    budgets : Budgets
        The scenario's.
    price : callable
        What local training under a plan costs on the profile.
    """
    start = scenario.plan_for(profile=profile.name, tier=profile.tier)
    rule = scenario.rule_for(profile=profile.name, tier=profile.tier)
    told = rule.up is not None or rule.down is not None or scenario.privacy.clips_on_client
    rungs = auto.ladder(
        start,
        widths=auto.WIDTHS if _can_be_sliced(learning.model["name"]) else auto.WIDTHS[:1],
        wires=() if told else auto.WIRES,
    )
    return auto.choose(
        rungs,
        lambda plan: demand(profile, plan, price(plan), scenario, learning, budgets),
        _limits(profile, scenario, budgets),
    )


def _can_be_sliced(model: str) -> bool:
    return "width" in inspect.signature(models.factory_of(model)).parameters


def _limits(profile: DeviceProfile, scenario: Scenario, budgets: Budgets) -> auto.Limits:
    """Return what a device may give; a job that swaps is no plan, so memory ends where swapping begins."""
    deadline_s = scenario.training.deadline_s
    return auto.Limits(
        memory_bytes=min(profile.job_ram_bytes.value, budgets.memory_bytes or np.inf),
        storage_bytes=min(profile.storage_bytes.value, budgets.storage_bytes or np.inf),
        train_s=budgets.cpu_time_s / budgets.cpu_share,
        time_s=np.inf if deadline_s is None else deadline_s,
        energy_j=budgets.energy_per_day_j,
    )


def demand(
    profile: DeviceProfile,
    plan: CompressionPlan,
    price: PlanCost,
    scenario: Scenario,
    learning: Learning,
    budgets: Budgets,
) -> auto.Demand:
    """Return what a job of a large client asks of a device at the median rate of its link, priced as the fleet does."""
    local = scenario.training.local_config()
    examples = int(np.quantile([len(rows) for rows in learning.rows], LARGE_CLIENT, method="higher"))
    steps = local.steps(examples)
    samples = min(examples * local.epochs, steps * local.batch_size)
    work_s = (steps * price.fixed_s + samples * price.per_sample_s) / budgets.cpu_share
    heat = profile.thermal
    train_s = work_s if heat is None else float(thermal.throttled_s(work_s, heat.onset_s.value, heat.sustained.value))
    arrays = width.take(learning.arrays, learning.maps(plan)) if plan.width < 1 else learning.arrays
    # An update does not exist yet: the most that its codec can make of it.
    up_bytes, down_bytes = wire.most_bytes(arrays, plan.uplink), learning.downlink_bytes(plan)
    access = scenario.fleet.network.access or profile.radios[0]
    (down_s, down_j), (up_s, up_j) = (
        _transfer(profile, access, size, uplink=uplink) for size, uplink in ((down_bytes, False), (up_bytes, True))
    )
    return auto.Demand(
        Cost(
            time_s=down_s + train_s + up_s,
            energy_j=power.split(profile).compute_w * budgets.cpu_share * train_s + down_j + up_j,
            up_bytes=float(up_bytes),
            down_bytes=float(down_bytes),
            peak_bytes=price.peak_bytes,
        ),
        train_s=train_s,
        storage_bytes=down_bytes + examples * float(learning.data.x_train[0].nbytes),
        link_problem=radio.infeasible(access, float(max(up_bytes, down_bytes))) or "",
    )


def _transfer(profile: DeviceProfile, access: str, size: int, *, uplink: bool) -> tuple[float, float]:
    """Return seconds and joules of a transfer at the access type's median rate and delay."""
    kind, median = network.ACCESS[access], np.full(1, 0.5)
    rate_bps = (kind.up_bps if uplink else kind.down_bps).at(median)
    time_s, energy_j = radio.transfer(
        access, profile.radio_generation, float(size), rate_bps, kind.rtt_s.at(median), uplink=uplink
    )
    return float(time_s[0]), float(energy_j[0])
