"""The whole of a scenario: who learns, what is learned, how, and what is kept private."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from fedlite.scenario.base import Section
from fedlite.scenario.clients import PlanSection
from fedlite.scenario.fit_laws import FIT_LAWS
from fedlite.scenario.laws import LAWS
from fedlite.scenario.sections import Sections
from fedlite.scenario.task import Task
from fedlite.scenario.violation import refuse

if TYPE_CHECKING:
    from fedlite.client.assignment import Condition
    from fedlite.compression.plan import Plan
    from fedlite.scenario.violation import Law


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

    def rule_for(self, *, profile: str, tier: str) -> PlanSection:
        """Return the plan written for a device class whatever its state; the full model if no rule fits."""
        fitting = (rule for rule in self.clients if rule.when is None and rule.fits(profile=profile, tier=tier))
        return next((rule.plan for rule in fitting), PlanSection())

    def cases_for(self, *, profile: str, tier: str) -> list[tuple[Condition, Plan]]:
        """Return the plans of a device class that hold under a condition, as complete as `plan_for` gives one.

        The ledger has to tell which one was chosen, so that codecs of their own are in their names.
        """
        cases = []
        for rule in self.clients:
            if rule.fits(profile=profile, tier=tier):
                if rule.when is None:
                    break
                plan = self._complete(rule.plan)
                codecs = [f"{way} {'+'.join(c)}" for way, c in (("up", rule.plan.up), ("down", rule.plan.down)) if c]
                cases.append((rule.when.condition, replace(plan, name=", ".join([plan.name, *codecs]))))
        return cases

    def plan_for(self, *, profile: str, tier: str) -> Plan:
        """Return the compression plan of a device class, with the scenario's wire, error feedback and privacy.

        `auto` plans give the full plan named "auto"; who decides them starts from there.
        """
        return self._complete(self.rule_for(profile=profile, tier=tier))

    def _complete(self, section: PlanSection) -> Plan:
        from fedlite.client.stages.error_feedback import ErrorFeedback
        from fedlite.wire import sends_update

        wanted = self.wire.error_feedback if section.error_feedback is None else section.error_feedback
        wanted = wanted and not section.names_feedback
        # A codec that carries the weights themselves leaves no error to feed back.
        feedback = (ErrorFeedback(),) if wanted and sends_update(section.up or self.wire.up) else ()
        return section.plan(self.wire.up, self.wire.down, (*feedback, *self.privacy.stages()), self.wire.delta)


class Scenario(FleetScenario):
    """A scenario that can be run."""

    laws = (*LAWS, *FIT_LAWS)
    task: Task
    """What is learned."""


def as_written(scenario: FleetScenario) -> dict[str, Any]:
    """Return a scenario as plain values with units, every default written out, keys as in a file."""
    return scenario.model_dump(by_alias=True, exclude_none=True)
