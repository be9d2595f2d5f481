"""What must hold between a plan and the device classes of its fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite import units
from fedlite.errors import nearest
from fedlite.scenario import names
from fedlite.scenario.quantities import write
from fedlite.scenario.rollout.devices import ANY, of_class
from fedlite.scenario.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fedlite.devices.profile import DeviceProfile
    from fedlite.scenario.fleet import Fleet
    from fedlite.scenario.rollout.law import PlanLaw
    from fedlite.scenario.rollout.model import Variant
    from fedlite.scenario.rollout.sections import PlanSections

_UNBOUND: Final = float("inf")


def profiles_of(fleet: Fleet) -> list[DeviceProfile]:
    """Return the profiles of which a fleet has devices."""
    from fedlite.scenario.profiles import load_profile

    return [load_profile(key) for key, share in fleet.mix.items() if share > 0]


def misfit(variant: Variant, profile: DeviceProfile, fleet: Fleet) -> str | None:
    """Return why a profile cannot run a variant, as far as the plan alone tells; None if nothing speaks against it.

    What only a run or a prediction tells (bytes and memory of `run`, latency of `macs` and `network`) is judged where
    it is known.
    """
    name, tier = profile.name, profile.tier.value
    if not variant.requires.fits(profile=name, tier=tier):
        return "requires names other devices"
    memory_bytes = min(profile.job_ram_bytes.value, fleet.budgets.memory_bytes or _UNBOUND)
    if variant.needed_memory_bytes > memory_bytes:
        return f"memory: {_bytes(variant.needed_memory_bytes)} is needed, a job may take {_bytes(memory_bytes)}"
    storage_bytes = min(profile.storage_bytes.value, fleet.budgets.storage_bytes or _UNBOUND)
    if variant.needed_storage_bytes > storage_bytes:
        return f"storage: {_bytes(variant.needed_storage_bytes)} is needed, {_bytes(storage_bytes)} is free"
    latency_s, most_s = of_class(variant.latency_s, profile=name, tier=tier), variant.requires.latency_s
    if latency_s is not None and most_s is not None and latency_s > most_s:
        return f"latency: an inference takes {units.show(latency_s, 'time')} of at most {units.show(most_s, 'time')}"
    return None


def _bytes(value: float) -> str:
    return units.show(value, "bytes")


def _somebody_can_run_it(plan: PlanSections) -> Iterator[Violation]:
    if plan.fleet is None or plan.model is None:
        return
    profiles = profiles_of(plan.fleet)
    for index, variant in enumerate(plan.model.variants):
        reasons = {profile.name: misfit(variant, profile, plan.fleet) for profile in profiles}
        if all(reasons.values()):
            largest = max(profiles, key=lambda profile: profile.job_ram_bytes.value).name
            yield Violation(
                f"model.variants.{index}",
                f"got {variant.name!r}, which no class of the fleet can run ({largest}: {reasons[largest]})",
                "lower what it requires, make it smaller, or remove it",
                ("fleet.mix", "fleet.budgets"),
            )


def _told_for_every_class(plan: PlanSections) -> Iterator[Violation]:
    """A number by class must be told for each class that can be given the variant."""
    if plan.fleet is None or plan.model is None:
        return
    profiles = profiles_of(plan.fleet)
    for index, variant in enumerate(plan.model.variants):
        for key, table in (("accuracy", variant.accuracy), ("latency", variant.latency_s)):
            if table is None:
                continue
            for profile in profiles:
                told = of_class(table, profile=profile.name, tier=profile.tier.value)
                if told is None and misfit(variant, profile, plan.fleet) is None:
                    yield Violation(
                        f"model.variants.{index}.{key}",
                        f"got nothing for {profile.name} ({profile.tier.value}), which can run {variant.name!r}",
                        "add 'any: ...', or its tier",
                        ("fleet.mix", "fleet.budgets"),
                    )
                    break


def _classes_are_there(plan: PlanSections) -> Iterator[Violation]:
    if plan.fleet is None:
        return
    profiles = profiles_of(plan.fleet)
    tiers, known = {profile.tier.value for profile in profiles}, {profile.name for profile in profiles}
    for key, told in _named_tiers(plan):
        yield from _absent(key, told, tiers, "a tier")
    for key, told in _named_profiles(plan):
        yield from _absent(key, told, known, "a profile")
    for key, told in _named_classes(plan):
        yield from _absent(key, told, {*tiers, *known, ANY}, "a tier or profile")


def _absent(key: str, told: Iterable[str], known: set[str], kind: str) -> Iterator[Violation]:
    for name in told:
        if name not in known:
            guess = nearest(name, known)
            remedy = f"write '{guess}'" if guess else f"write one of {', '.join(sorted(known))}"
            yield Violation(key, f"got {name!r}, {kind} of which the fleet has no device", remedy, ("fleet.mix",))


def _named_tiers(plan: PlanSections) -> Iterator[tuple[str, tuple[str, ...]]]:
    for index, world in enumerate(plan.worlds):
        yield f"worlds.{index}.on.tiers", world.on.tiers
    for index, wave in enumerate((plan.strategy.waves if plan.strategy else None) or ()):
        yield f"strategy.waves.{index}.filter.tiers", wave.filter.tiers


def _named_profiles(plan: PlanSections) -> Iterator[tuple[str, tuple[str, ...]]]:
    for index, world in enumerate(plan.worlds):
        yield f"worlds.{index}.on.profiles", world.on.profiles
    for index, wave in enumerate((plan.strategy.waves if plan.strategy else None) or ()):
        yield f"strategy.waves.{index}.filter.profiles", wave.filter.profiles
    known = {*names.profiles()}
    for index, variant in enumerate((plan.model.variants if plan.model else None) or ()):
        # A variant may be for devices that this fleet lacks, but not for such as there are none.
        yield (
            f"model.variants.{index}.requires.profiles",
            tuple(name for name in variant.requires.profiles if name not in known),
        )


def _named_classes(plan: PlanSections) -> Iterator[tuple[str, tuple[str, ...]]]:
    from fedlite.devices.profile import Tier

    shipped = {*names.profiles(), *(tier.value for tier in Tier)}
    for index, variant in enumerate((plan.model.variants if plan.model else None) or ()):
        for key, table in (("accuracy", variant.accuracy), ("latency", variant.latency_s)):
            yield f"model.variants.{index}.{key}", tuple(name for name in table or () if name not in shipped)


def _drops_leave_accuracy(plan: PlanSections) -> Iterator[Violation]:
    """What a drop is taken from is what the plan tells; what a run will tell is judged where it is known."""
    if plan.fleet is None or plan.model is None:
        return
    for index, world in enumerate(plan.worlds):
        for profile in profiles_of(plan.fleet):
            name, tier = profile.name, profile.tier.value
            told = [
                of_class(variant.accuracy, profile=name, tier=tier)
                for variant in plan.model.variants
                if misfit(variant, profile, plan.fleet) is None
            ]
            known = [accuracy for accuracy in told if accuracy is not None]
            if not known or len(known) < len(told) or not world.on.fits(profile=name, tier=tier):
                continue
            if world.changes.accuracy_drop > max(known):
                yield Violation(
                    f"worlds.{index}.changes.accuracy_drop",
                    f"got {write(world.changes.accuracy_drop, 'fraction')}, more than the accuracy on {name} that it is"
                    f" taken from, {write(max(known), 'fraction')}",
                    f"write {write(max(known), 'fraction')} or less",
                    ("fleet.mix", "fleet.budgets", "model.variants"),
                )
                break


CLASS_LAWS: Final[tuple[PlanLaw, ...]] = (
    _somebody_can_run_it,
    _told_for_every_class,
    _classes_are_there,
    _drops_leave_accuracy,
)
