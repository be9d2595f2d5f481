"""What may be an axis of a study: the numbers that the summary of a run of its scenarios has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.errors import Problem
from fedlite.learning import objectives
from fedlite.scenario import names
from fedlite.scenario.base import tell_unknown
from fedlite.scenario.protocol import NoProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fedlite.scenario.schema import Scenario
    from fedlite.scenario.strict_yaml import Document

NUMBERS: Final = (
    *("rounds", "virtual_time_s", "wall_time_s", "clients_per_second", "devices"),
    *("energy_j", "energy_low_j", "energy_high_j", "radio_j", "tail_j", "check_in_j", "carbon_g"),
    *("up_bytes", "down_bytes", "metered_bytes", "arrived"),
)
"""Of every run; `arrived` is the share of jobs, `check_in_j` 0 where devices do not check in."""
CALENDAR: Final = tuple(
    f"calendar.{name}"
    for name in (
        *("lasted_s", "check_ins", "check_ins_in_vain", "check_in_j", "never_heard", "never_checked_in"),
        *(f"participations.{end}" for end in ("mean", "p95", "most")),
        *(f"{name}.{end}" for name in ("battery_j", "battery_share", "metered_bytes") for end in ("mean", "p95")),
    )
)
"""Of runs whose devices check in."""
OPEN: Final = ("outcomes.", "downloads.")
"""Sections of a summary whose numbers only a run tells."""


def wrong_axes(axes: Sequence[str], scenarios: Sequence[Scenario], document: Document) -> Iterator[Problem]:
    """Yield a problem for each axis that no run of these scenarios will have, where the study's file says it."""
    # Without axes nothing is asked: objectives bring torch with them.
    known = dict.fromkeys(name for scenario in scenarios for name in numbers_of(scenario)) if axes else {}
    for position, name in enumerate(axes):
        plain = name.removeprefix("metrics.")
        if plain in known or name.startswith(OPEN):
            continue
        place = document.values[("axes", position)]
        told, remedy = tell_unknown("a number", name, known)
        yield Problem(document.path, place.line, place.column, f"axes.{position}", told, remedy)


def numbers_of(scenario: Scenario) -> list[str]:
    """Return the numbers by which runs of a scenario can be drawn; metrics by their own names."""
    return [
        *NUMBERS,
        *_metrics(scenario),
        *("loss", "train_loss"),
        *(("rounds_to_target", "time_to_target_s") if _has_target(scenario) else ()),
        *(("epsilon", "privacy.epsilon") if getattr(scenario.privacy, "delta", None) is not None else ()),
        *(() if isinstance(scenario.fleet.protocol, NoProtocol) else CALENDAR),
    ]


def _metrics(scenario: Scenario) -> list[str]:
    task = scenario.task
    told = names.objective_of(task.data) if task.objective == "auto" else task.objective
    # Where only the data would tell, it is one of those that ship.
    wanted = list(objectives.OBJECTIVES) if told is None else [told]
    return [metric.name for name in wanted for metric in objectives.objective(name).metrics]


def _has_target(scenario: Scenario) -> bool:
    return scenario.training.target is not None or scenario.training.target_accuracy is not None
