"""What must hold between a plan's numbers of devices and its fleet's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.scenario.rollout.class_laws import profiles_of
from fedlite.scenario.rollout.devices import DeviceFilter
from fedlite.scenario.rollout.reach import most_devices
from fedlite.scenario.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.rollout.law import PlanLaw
    from fedlite.scenario.rollout.sections import PlanSections

_FLEET: Final = ("fleet.devices", "fleet.mix")


def _gates_can_judge(plan: PlanSections) -> Iterator[Violation]:
    if plan.fleet is None:
        return
    largest = max(
        most_devices(plan.fleet, DeviceFilter(profiles=(profile.name,))) for profile in profiles_of(plan.fleet)
    )
    for index, gate in enumerate(plan.gates):
        by_class = gate.per == "class"
        most = largest if by_class else plan.fleet.devices
        if gate.min_executed > most:
            there = (
                f"the largest class of the fleet has {most} devices" if by_class else f"the fleet has {most} devices"
            )
            yield Violation(
                f"gates.{index}.min_executed",
                f"got {gate.min_executed}, but {there}, so it never judges",
                f"write {most} or less, or raise fleet.devices",
                _FLEET,
            )


def _waves_have_devices(plan: PlanSections) -> Iterator[Violation]:
    """Refuse waves of more devices than there are; where all tell shares, that is seen without a fleet."""
    if plan.fleet is None:
        return
    let_in: dict[object, float] = {}
    counted: set[object] = set()
    for index, wave in enumerate((plan.strategy.waves if plan.strategy else None) or ()):
        meant = (tuple(sorted(wave.filter.tiers)), tuple(sorted(wave.filter.profiles)))
        most = most_devices(plan.fleet, wave.filter)
        before = let_in.get(meant, 0.0)
        let_in[meant] = before + (wave.count or 0) + (wave.percent or 0.0) * most
        if wave.count is not None:
            counted.add(meant)
        if meant in counted and before <= most < round(let_in[meant]):
            left = int(most - before)
            yield Violation(
                f"strategy.waves.{index}.{'percent' if wave.count is None else 'count'}",
                f"got waves of {let_in[meant]:.0f} of the same devices up to here, but the fleet has {most} of them",
                f"write 'count: {left}' or less, or 'rest: true'" if left else "remove the wave",
                _FLEET,
            )


SIZE_LAWS: Final[tuple[PlanLaw, ...]] = (_gates_can_judge, _waves_have_devices)
