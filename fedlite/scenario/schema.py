"""The whole of a scenario: who learns, what is learned, how, and what is kept private."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fedlite.scenario import laws
from fedlite.scenario.base import Section
from fedlite.scenario.clients import ClientRule, Plan
from fedlite.scenario.fleet import Fleet
from fedlite.scenario.privacy import AnyPrivacy, NoPrivacy
from fedlite.scenario.reporting import Report
from fedlite.scenario.strategies import FedAsync, FedBuff
from fedlite.scenario.task import Task
from fedlite.scenario.training import Training
from fedlite.scenario.wire import Wire

if TYPE_CHECKING:
    from fedlite.compression.plan import CompressionPlan

DEFAULT_COHORT = 10
"""Replies wanted in a round if a scenario does not say."""


class FleetScenario(Section):
    """A scenario that need not say what is learned: enough to run somebody else's Flower app on the fleet."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Short name; run directories are called after it."""
    description: str = ""
    """One sentence for the report."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Every random number of a run follows from it."""
    fleet: Fleet
    """The simulated devices."""
    task: Task | None = None
    """What is learned."""
    training: Training = Training()
    """How it is learned."""
    clients: tuple[ClientRule, ...] = Field(default=(), strict=False)
    """Which device class trains which compressed form; the first rule that fits holds, else the full model."""
    wire: Wire = Wire()
    """How arrays are encoded."""
    privacy: AnyPrivacy = NoPrivacy()
    """What guards the updates."""
    report: Report = Report()
    """What the report shows."""

    @model_validator(mode="after")
    def _laws_hold(self) -> FleetScenario:
        violations = laws.broken(self)
        if violations:
            text = "; ".join(f"{violation.key}: {violation.message}" for violation in violations)
            raise PydanticCustomError("laws", "{text}", {"text": text, "violations": violations})
        return self

    @property
    def cohort(self) -> int:
        """Replies wanted in a round; of an asynchronous strategy, the devices at work at any time."""
        strategy = self.training.strategy
        if isinstance(strategy, FedBuff | FedAsync):
            return strategy.concurrency
        return self.training.clients_per_round or min(DEFAULT_COHORT, self.fleet.devices)

    @property
    def asked(self) -> int:
        """Devices asked in a round: the cohort, over-selected."""
        return min(self.fleet.devices, laws.asked(self.cohort, self.training.over_select))

    def rule_for(self, *, profile: str, tier: str) -> Plan:
        """Return the plan written for a device class; the full model if no rule fits."""
        return next((rule.plan for rule in self.clients if rule.fits(profile=profile, tier=tier)), Plan())

    def plan_for(self, *, profile: str, tier: str) -> CompressionPlan:
        """Return the compression plan of a device class, the scenario's wire filled in.

        `auto` plans give the full plan named "auto"; who decides them starts from there.
        """
        from fedlite.compression.plan import CompressionPlan

        plan = self.rule_for(profile=profile, tier=tier)
        feedback = self.wire.error_feedback if plan.error_feedback is None else plan.error_feedback
        return CompressionPlan(
            name=plan.label,
            width=plan.width,
            sparsity=plan.sparsity,
            bits=plan.bits,
            uplink=plan.up or self.wire.up,
            downlink=plan.down or self.wire.down,
            error_feedback=feedback,
            scope=plan.scope,
        )


class Scenario(FleetScenario):
    """A scenario that can be run."""

    task: Task
    """What is learned."""


def as_written(scenario: FleetScenario) -> dict[str, Any]:
    """Return a scenario as plain values with units, every default written out, keys as in a file."""
    return scenario.model_dump(by_alias=True, exclude_none=True)
