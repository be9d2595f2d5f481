"""The sections of a scenario and what follows from several of them at once; the laws judge how they go together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from fedlite.scenario.adversary import Adversary
from fedlite.scenario.base import Section, at_most
from fedlite.scenario.clients import MAX_RULES, ClientRule, PlanSection
from fedlite.scenario.fleet import Fleet
from fedlite.scenario.migrations import CURRENT
from fedlite.scenario.paths import folder_of
from fedlite.scenario.privacy import AnyPrivacy, NoPrivacy
from fedlite.scenario.protocol import Production
from fedlite.scenario.quantities import Means
from fedlite.scenario.reporting import Report
from fedlite.scenario.strategies import FedAsync, FedBuff
from fedlite.scenario.task import Task
from fedlite.scenario.training import Training
from fedlite.scenario.version import SchemaVersion
from fedlite.scenario.wire import Wire


def _find_folder(place: str, info: ValidationInfo) -> str:
    return str(Path(folder_of(info), place).expanduser().resolve())


ModuleFolder = Annotated[str, AfterValidator(_find_folder), Means("path of a folder, taken from the scenario's")]
DEFAULT_COHORT = 10
"""Replies wanted in a round if a scenario does not say."""


def asked(cohort: int, over_select: float) -> int:
    """Return how many devices are asked so that about `cohort` reply."""
    # Rounding first keeps 10 * 1.3 at 13, where the product is a hair above it.
    return math.ceil(round(cohort * over_select, 9))


class Sections(Section):
    """What a scenario says; nobody has judged yet whether it goes together."""

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
    clients: Annotated[tuple[ClientRule, ...], at_most(MAX_RULES, "rules")] = Field(default=(), strict=False)
    """Which device class trains which compressed form; the first rule that fits holds, else the full model."""
    wire: Wire = Wire()
    """How arrays are encoded."""
    privacy: AnyPrivacy = NoPrivacy()
    """What guards the updates."""
    adversary: Adversary | None = None
    """Who is not trusted: what it sees is recorded for attacks and audits; without it nothing is."""
    schema_: SchemaVersion = Field(default=CURRENT, alias="schema")
    """Which keys are meant: without it those of today. `fedlite migrate` makes an older file one of today's."""
    report: Report = Report()
    """What the report shows."""
    modules: Annotated[tuple[ModuleFolder, ...], Field(strict=False, max_length=20)] = ()
    """Folders in which code of your own is looked for, before the scenario's own folder, which need not be told."""

    @property
    def written_plans(self) -> list[tuple[str, PlanSection]]:
        """Every plan of the rules with the key under which it is written."""
        return [
            (f"clients.{index}.{key}", plan)
            for index, rule in enumerate(self.clients)
            for key, plan in rule.written.items()
        ]

    @property
    def cohort(self) -> int:
        """Replies wanted in a round; of an asynchronous strategy, the devices at work at any time."""
        strategy = self.training.strategy
        if isinstance(strategy, FedBuff | FedAsync):
            return strategy.concurrency
        default = self.protocol.selection.goal if self.protocol else min(DEFAULT_COHORT, self.fleet.devices)
        return self.training.clients_per_round or default

    @property
    def protocol(self) -> Production | None:
        """How devices and server meet, None where devices are there at once; `training` wins where both speak."""
        return self.fleet.protocol if isinstance(self.fleet.protocol, Production) else None

    @property
    def over_select(self) -> float:
        """How many devices are asked for each reply wanted."""
        if self.training.strategy.asynchronous:
            return 1.0
        return self.training.over_select or (self.protocol.selection.over_select if self.protocol else 1.0)

    @property
    def deadline_s(self) -> float | None:
        """Virtual time after which a round closes, None if it has no end of its own."""
        if self.training.strategy.asynchronous or self.protocol is None:
            return self.training.deadline_s
        return self.training.deadline_s or self.protocol.reporting.deadline_s

    @property
    def asked(self) -> int:
        """Devices asked in a round: the cohort, over-selected."""
        return min(self.fleet.devices, asked(self.cohort, self.over_select))
