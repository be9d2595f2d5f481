"""A law of a rollout plan: what it yields is told like the broken laws of a scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fedlite.scenario.rollout.sections import PlanSections
from fedlite.scenario.violation import Violation

PlanLaw = Callable[[PlanSections], Iterator[Violation]]
