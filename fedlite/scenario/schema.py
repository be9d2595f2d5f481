"""The whole of a scenario: who learns, what is learned, how, and what is kept private."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from fedlite.scenario.base import Section
from fedlite.scenario.canaries import canary_stages
from fedlite.scenario.clients import PlanSection
from fedlite.scenario.fit_laws import FIT_LAWS
from fedlite.scenario.laws import LAWS
from fedlite.scenario.sections import Sections
from fedlite.scenario.task import Task
from fedlite.scenario.violation import refuse

if TYPE_CHECKING:
    from fedlite.client.assignment import Condition
    from fedlite.compression.part import Part
    from fedlite.compression.plan import Plan
    from fedlite.scenario.clients import ClientRule
    from fedlite.scenario.violation import Law


@dataclass(frozen=True)
class Option:
    """What one rule holds ready for a device class.

    Attributes
    ----------
    rule : int
        Its place among the rules.
    condition : Condition or None
        When it holds; None for always.
    choose : Chooser or None
        Who chooses among the plans, if there are several.
    plans : tuple of Plan
    """

    rule: int
    condition: Condition | None
    choose: Part | None
    plans: tuple[Plan, ...]


class FleetScenario(Sections):
    """A scenario that need not say what is learned: enough to run somebody else's Flower app on the fleet."""

    laws: ClassVar[tuple[Law, ...]] = LAWS
    """What it must obey."""

    @classmethod
    def partly(cls) -> type[Section]:
        """Return the scenario without its task, which a mistaken one need not keep from being judged."""
        return FleetScenario

    @model_validator(mode="after")
    def _laws_hold(self) -> FleetScenario:
        refuse(violation for law in self.laws for violation in law(self))
        return self

    @property
    def remarks(self) -> list[str]:
        """What is in order but may not be meant."""
        secured = self.privacy.secure_aggregation
        return [] if secured is None else secured.remarks(self.asked)

    def rule_for(self, *, profile: str, tier: str) -> PlanSection:
        """Return the plan written for a device class whatever its state; the full model if no rule fits."""
        rule = self._rule(profile, tier)
        return PlanSection() if rule is None else rule.first

    def auto_among(self, *, profile: str, tier: str) -> tuple[Plan, ...]:
        """Return the plans of which `auto` takes one for a device class, mildest first; none where it knows its own."""
        rule = self._rule(profile, tier)
        return () if rule is None else tuple(reversed(self._menu(rule)))

    def auto_limits(self, *, profile: str, tier: str) -> dict[str, float]:
        """Return the limits that `auto` keeps within for a device class, by their names in `planning.auto.Limits`."""
        rule = self._rule(profile, tier)
        found = {} if rule is None or rule.limits is None else dict(rule.limits)
        return {name: most for name, most in found.items() if most is not None}

    def _rule(self, profile: str, tier: str) -> ClientRule | None:
        """Return the rule that holds for a device class whatever its state."""
        fitting = (rule for rule in self.clients if rule.when is None and rule.fits(profile=profile, tier=tier))
        return next(fitting, None)

    def _menu(self, rule: ClientRule) -> tuple[Plan, ...]:
        return tuple(replace(self._complete(plan), name=name) for name, plan in rule.among.items())

    def options_for(self, *, profile: str, tier: str) -> list[Option]:
        """Return what a device class may follow, rule by rule, up to the one that holds whatever its state."""
        options = []
        for index, rule in enumerate(self.clients):
            if not rule.fits(profile=profile, tier=tier):
                continue
            condition = None if rule.when is None else rule.when.condition
            options.append(Option(index, condition, rule.choose, self._named_plans(rule)))
            if condition is None:
                break
        return options

    def _named_plans(self, rule: ClientRule) -> tuple[Plan, ...]:
        if rule.choose is not None:
            return self._menu(rule)
        return (self._complete(rule.first),)

    def plan_for(self, *, profile: str, tier: str) -> Plan:
        """Return the compression plan of a device class, with the scenario's wire, error feedback and privacy.

        `auto` plans give the full plan named "auto"; who decides them starts from there.
        """
        rule = self._rule(profile, tier)
        return self._complete(PlanSection()) if rule is None else self._named_plans(rule)[0]

    def _complete(self, section: PlanSection) -> Plan:
        from fedlite.client.stages.error_feedback import ErrorFeedback
        from fedlite.wire import sends_update

        wanted = self.wire.error_feedback if section.error_feedback is None else section.error_feedback
        wanted = wanted and not section.names_feedback
        # A codec that carries the weights themselves leaves no error to feed back.
        feedback = (ErrorFeedback(),) if wanted and sends_update(section.uplink(self.wire.up)) else ()
        plan = section.plan(self.wire.up, self.wire.down, (*feedback, *self.privacy.stages()), self.wire.delta)
        canaries = canary_stages(self)
        return replace(plan, stages=(*canaries, *plan.stages)) if canaries else plan


class Scenario(FleetScenario):
    """A scenario that can be run."""

    laws = (*LAWS, *FIT_LAWS)
    task: Task
    """What is learned."""


def as_written(scenario: FleetScenario) -> dict[str, Any]:
    """Return a scenario as plain values with units, every default written out, keys as in a file."""
    return scenario.model_dump(by_alias=True, exclude_none=True)
