"""The sections of a rollout plan and what follows from several of them; the laws judge how they go together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from fedlite.errors import InvalidFileError, quoted
from fedlite.scenario.base import Section, at_least_one, at_most, mistake
from fedlite.scenario.fleet import Fleet
from fedlite.scenario.migrations import CURRENT
from fedlite.scenario.paths import folder_of
from fedlite.scenario.quantities import Means, Seconds
from fedlite.scenario.rollout.audience import Audience
from fedlite.scenario.rollout.devices import stub
from fedlite.scenario.rollout.download import Download
from fedlite.scenario.rollout.gates import Gate
from fedlite.scenario.rollout.model import PlannedModel
from fedlite.scenario.rollout.strategy import PlannedStrategy
from fedlite.scenario.rollout.worlds import World
from fedlite.scenario.version import SchemaVersion

if TYPE_CHECKING:
    from fedlite.scenario.rollout.steps import Step

MAX_GATES = 50
MAX_WORLDS = 50
_REFERENCE = "scenario"


def _of_scenario(value: Any, info: ValidationInfo) -> Any:
    """Return the fleet of the scenario that is named, with the keys beside its name changed."""
    if not isinstance(value, dict) or _REFERENCE not in value:
        return value
    from fedlite.scenario.loader import load_fleet

    name = value[_REFERENCE]
    if not isinstance(name, str):
        raise mistake(f"got {quoted(name)}, expected the path of a scenario", "write its path", _REFERENCE)
    try:
        fleet = load_fleet(Path(folder_of(info), name).expanduser()).fleet
    except InvalidFileError as error:
        first, count = error.problems[0], len(error.problems)
        which = "whose mistake is" if count == 1 else f"whose first mistake of {count} is"
        where = f"{first.path}:{first.line}: {first.key}" if first.line else f"{first.path}: {first.key}"
        told = f"got the scenario {quoted(name)}, {which} {where}: {first.message}"
        raise mistake(told, first.remedy, _REFERENCE) from None
    written = fleet.model_dump(by_alias=True, exclude_none=True)
    # Whom training asks is no matter of a rollout, whose own conditions are those of its downloads.
    del written["rules"]
    return {**written, **{key: inner for key, inner in value.items() if key != _REFERENCE}}


PlannedFleet = Annotated[
    Fleet,
    BeforeValidator(_of_scenario),
    stub("fleet: {devices: 10000, mix: consumer-phones}', or 'fleet: {scenario: path.yaml}"),
    Means(
        "a section as in a scenario, or `{scenario: path}` with keys to change",
        beside=lambda: {"type": "object", "required": [_REFERENCE]},
    ),
]


class PlanSections(Section):
    """What a plan says, some of which may be missing; nobody has judged yet whether it goes together."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Short name; result directories are called after it."""
    description: str = ""
    """One sentence for the report."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Every random number follows from it."""
    schema_: SchemaVersion = Field(default=CURRENT, alias="schema")
    """Which keys are meant: without it those of today. `fedlite migrate` makes an older file one of today's."""
    replications: Annotated[int, Field(ge=1, le=100_000)] = 200
    """How often each world is rehearsed."""
    horizon_s: Seconds = Field(default=2_592_000.0, alias="horizon")
    """How long a rehearsal lasts."""
    fleet: PlannedFleet | None = None
    """The simulated devices: keys as in a scenario, or `{scenario: path}` for those of a scenario, which keys beside it
    change."""
    audience: Audience = Audience()
    """What the owners of the devices do."""
    model: PlannedModel | None = None
    """What is rolled out."""
    download: Download = Download()
    """When a device fetches it."""
    strategy: PlannedStrategy | None = None
    """How the devices are let in."""
    gates: Annotated[tuple[Gate, ...], at_most(MAX_GATES, "gates")] = Field(default=(), strict=False)
    """What is watched, and what a failure does."""
    worlds: Annotated[tuple[World, ...], at_most(MAX_WORLDS, "worlds"), at_least_one("worlds")] = Field(
        default=(World(name="good"),), strict=False
    )
    """What might be true of the new model; without it, that it is as good as it should be."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """What the strategy comes to; nothing where it is a rate, for which see `strategy.paced`."""
        if self.strategy is None:
            return ()
        unlooked = [gate.name for gate in self.gates if gate.every_s is None]
        return self.strategy.expanded(tuple(unlooked) if self.strategy.preset else ())

    @property
    def control(self) -> float:
        """Share of the audience that is held out on the old model."""
        return max((gate.control or 0.0 for gate in self.gates), default=0.0)
