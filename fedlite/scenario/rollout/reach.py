"""How many devices a plan can let in, as far as the plan alone tells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fedlite.scenario.rollout.class_laws import profiles_of
from fedlite.scenario.rollout.devices import DeviceFilter

if TYPE_CHECKING:
    from fedlite.scenario.fleet import Fleet
    from fedlite.scenario.rollout.sections import PlanSections


def most_devices(fleet: Fleet, meant: DeviceFilter) -> int:
    """Return how many devices of a fleet a filter can mean: devices are dealt by their shares, to a whole number."""
    if meant.everyone:
        return fleet.devices
    total = math.fsum(fleet.mix.values())
    shares = [
        fleet.mix[name] / total
        for name, profile in zip(
            (key for key, share in fleet.mix.items() if share > 0), profiles_of(fleet), strict=True
        )
        if meant.fits(profile=profile.name, tier=profile.tier.value)
    ]
    return min(fleet.devices, sum(math.ceil(round(share * fleet.devices, 9)) for share in shares))


def remarks(plan: PlanSections) -> list[str]:
    """Return what is in order but may not be meant: a plan that ends before everybody was let in."""
    if plan.fleet is None or not plan.steps:
        return []
    let_in: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    for step in plan.steps:
        meant = DeviceFilter.model_construct(tiers=step.tiers, profiles=step.profiles)
        let_in[step.tiers, step.profiles] = step.devices(most_devices(plan.fleet, meant))
    share = min(1.0, sum(let_in.values()) / plan.fleet.devices)
    if share >= 1.0:
        return []
    return [f"the plan lets in {share * 100:.6g} % of the devices at most"]
