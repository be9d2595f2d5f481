"""The whole of a rollout plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from fedlite.scenario.base import Section
from fedlite.scenario.rollout.laws import LAWS
from fedlite.scenario.rollout.model import PlannedModel
from fedlite.scenario.rollout.sections import PlannedFleet, PlanSections
from fedlite.scenario.rollout.strategy import PlannedStrategy
from fedlite.scenario.violation import refuse

if TYPE_CHECKING:
    from fedlite.scenario.rollout.law import PlanLaw


class JudgedPlan(PlanSections):
    """What a plan says, as far as it goes together."""

    laws: ClassVar[tuple[PlanLaw, ...]] = LAWS
    """What it must obey."""

    @classmethod
    def partly(cls) -> type[Section]:
        """Return the plan that may lack a section."""
        return JudgedPlan

    @model_validator(mode="after")
    def _laws_hold(self) -> JudgedPlan:
        refuse(violation for law in self.laws for violation in law(self))
        return self


class RolloutPlan(JudgedPlan):
    """A rollout plan that can be rehearsed."""

    fleet: PlannedFleet
    """The simulated devices: keys as in a scenario, or `{scenario: path}` for those of a scenario, which keys beside it
    change."""
    model: PlannedModel
    """What is rolled out."""
    strategy: PlannedStrategy
    """How the devices are let in."""


def as_written(plan: RolloutPlan) -> dict[str, Any]:
    """Return a plan as plain values with units, every default written out, keys as in a file."""
    return plan.model_dump(by_alias=True, exclude_none=True)
