"""One entry of a strategy's list: a step as Argo Rollouts has them, or a wave."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from fedlite.scenario.base import Section, at_most, mistake
from fedlite.scenario.quantities import Duration, Fraction, PositiveFraction, Seconds
from fedlite.scenario.rollout.devices import DeviceFilter

MAX_STEPS = 200
"""More than anybody waits for."""
Names = Annotated[tuple[str, ...], at_most(MAX_STEPS, "gates")]


class Pause(Section):
    """Nobody new is let in."""

    duration_s: Seconds | None = Field(default=None, alias="duration")
    """For how long; without it until a person says so."""


class Action(Section):
    """One entry of `steps`: a weight, a pause or an analysis."""

    set_weight: Fraction | None = Field(default=None, alias="setWeight")
    """Share of the audience that is let in from now on, those before included."""
    pause: Pause | None = None
    """`{duration: 24 h}`, or `{}` to wait for a person."""
    analysis: Names | None = Field(default=None, strict=False, min_length=1)
    """Names of the gates that are analysed now."""

    @model_validator(mode="after")
    def _is_one(self) -> Action:
        if len(self.told) != 1:
            raise mistake(
                f"got {' and '.join(self.told) or 'nothing'} in one step, expected one of setWeight, pause, analysis",
                "write one list entry for each",
            )
        return self

    @property
    def told(self) -> list[str]:
        """The keys that are written."""
        values = {"setWeight": self.set_weight, "pause": self.pause, "analysis": self.analysis}
        return [key for key, value in values.items() if value is not None]


class Wave(Section):
    """One entry of `waves`: how many devices more, which, and when."""

    percent: PositiveFraction | None = None
    """Share of the devices meant that is let in, beyond those before."""
    count: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Number of the devices instead."""
    rest: bool = False
    """All that are left instead."""
    filter: DeviceFilter = DeviceFilter()
    """The devices that are meant; without it all."""
    start_s: Duration | None = Field(default=None, alias="start")
    """When it begins, from the beginning of the rollout."""
    after_s: Duration | None = Field(default=None, alias="after")
    """When it begins, from the beginning of the wave before."""
    installed: PositiveFraction | None = None
    """It begins once this share of the wave before runs the new model, and not before `after`."""
    approval: bool = False
    """It begins only when a person says so."""
    analysis: Names = Field(default=(), strict=False)
    """Names of the gates that are analysed before the next wave."""

    @model_validator(mode="after")
    def _says_one_size(self) -> Wave:
        sizes = {"percent": self.percent is not None, "count": self.count is not None, "rest": self.rest}
        told = [key for key, given in sizes.items() if given]
        if len(told) != 1:
            raise mistake(
                f"got {' and '.join(told) or 'no size'}, expected one of percent, count and rest", "keep or add one"
            )
        if self.start_s is not None and (self.after_s is not None or self.installed is not None):
            raise mistake("got 'start' beside a time or share of the wave before", "keep one of them", "start")
        return self

    @property
    def has_beginning(self) -> bool:
        """Whether the wave says when it begins."""
        return self.approval or any(one is not None for one in (self.start_s, self.after_s, self.installed))
