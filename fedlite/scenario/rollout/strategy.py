"""The `strategy` section: in which steps, waves or at which rate the devices are let in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from fedlite.errors import quoted
from fedlite.scenario.base import Section, at_least_one, at_most, mistake
from fedlite.scenario.names import after, checked
from fedlite.scenario.quantities import Duration, Means, write
from fedlite.scenario.rollout.entries import MAX_STEPS, Action, Wave
from fedlite.scenario.rollout.expanding import of_steps, of_waves
from fedlite.scenario.rollout.presets import PRESETS
from fedlite.scenario.rollout.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator


class RateIncrease(Section):
    """When the rate rises."""

    notified: Annotated[int, Field(ge=1)] | None = Field(default=None, alias="numberOfNotifiedThings")
    """Each time so many more devices were let in."""
    succeeded: Annotated[int, Field(ge=1)] | None = Field(default=None, alias="numberOfSucceededThings")
    """Each time so many more devices run the new model."""

    @model_validator(mode="after")
    def _is_one(self) -> RateIncrease:
        if (self.notified is None) == (self.succeeded is None):
            raise mistake(
                "got both or none of numberOfNotifiedThings and numberOfSucceededThings, expected one",
                "write for example '{numberOfNotifiedThings: 1000}'",
            )
        return self


def _one_decimal(value: float) -> float:
    if round(value, 1) != value:
        raise mistake(f"got {value}, expected one decimal, which is what AWS takes", f"write {round(value, 1)}")
    return value


class Rate(Section):
    """Devices are let in at a rate that grows by a factor, in AWS IoT's words and ranges."""

    base_per_minute: Annotated[int, Field(ge=1, le=1000)] | None = Field(default=None, alias="baseRatePerMinute")
    """Devices a minute at the start; without it the maximum throughout."""
    factor: Annotated[float, Field(ge=1.1, le=5), after(_one_decimal)] | None = Field(
        default=None, alias="incrementFactor"
    )
    """What the rate is multiplied by."""
    increase: RateIncrease | None = Field(default=None, alias="rateIncreaseCriteria")
    """When it is."""
    most_per_minute: Annotated[int, Field(ge=1, le=1000)] = Field(default=1000, alias="maximumPerMinute")
    """Devices a minute at most."""

    @model_validator(mode="after")
    def _is_whole(self) -> Rate:
        growing = {
            "baseRatePerMinute": self.base_per_minute,
            "incrementFactor": self.factor,
            "rateIncreaseCriteria": self.increase,
        }
        missing = [key for key, value in growing.items() if value is None]
        if 0 < len(missing) < len(growing):
            raise mistake(
                f"got no {' and no '.join(missing)} for a rate that grows", "add it, or keep the maximum only"
            )
        if self.base_per_minute is not None and self.base_per_minute > self.most_per_minute:
            raise mistake(
                f"got baseRatePerMinute {self.base_per_minute} above maximumPerMinute {self.most_per_minute}",
                "lower the first or raise the second",
                "baseRatePerMinute",
            )
        return self


PresetName = Annotated[
    str,
    after(checked("a preset", lambda: PRESETS)),
    Means(" \\| ".join(f"`{name}`" for name in PRESETS)),
]


class Strategy(Section):
    """How the devices are let in: one of `preset`, `steps`, `waves` and `rate`."""

    preset: PresetName | None = None
    """A plan that somebody else's system has."""
    steps: Annotated[tuple[Action, ...], at_most(MAX_STEPS, "steps"), at_least_one("steps")] | None = Field(
        default=None, strict=False
    )
    """Weights, pauses and analyses one after another, as Argo Rollouts has them."""
    waves: Annotated[tuple[Wave, ...], at_most(MAX_STEPS, "waves"), at_least_one("waves")] | None = Field(
        default=None, strict=False
    )
    """Groups of devices one after another."""
    rate: Rate | None = None
    """So many devices a minute."""
    approval_s: Duration = Field(default=86_400.0, alias="approval")
    """How long a person takes to let a rollout go on that waits or was paused. Assumed."""

    @model_validator(mode="after")
    def _is_one(self) -> Strategy:
        told = [key for key in ("preset", "steps", "waves", "rate") if getattr(self, key) is not None]
        if len(told) != 1:
            raise mistake(
                f"got {' and '.join(told) or 'none'} of preset, steps, waves and rate, expected one of them",
                "keep one" if told else "write for example 'preset: apple-phased'",
            )
        return self

    @property
    def played(self) -> Strategy:
        """The strategy itself, or what its preset stands for."""
        if self.preset is None:
            return self
        meant = Strategy.model_validate(PRESETS[self.preset].strategy)
        return meant.model_copy(update={"approval_s": self.approval_s})

    def expanded(self, at_every_end: tuple[str, ...] = ()) -> tuple[Step, ...]:
        """Return the steps in the one form that a rehearsal plays; none of a strategy that is a rate.

        Parameters
        ----------
        at_every_end : tuple of str
            Names of gates that are analysed at the end of every step too.
        """
        played = self.played
        made: Iterator[Step] = of_steps(played.steps or ()) if played.steps else of_waves(played.waves or ())
        return tuple(replace(step, gates=(*step.gates, *at_every_end)) for step in made)

    @property
    def paced(self) -> Rate | None:
        """The rate at which devices are let in; None if it is steps."""
        return self.played.rate


def shown(share: float) -> str:
    """Return a share as messages and names of steps write it."""
    return str(write(share, "fraction"))


def _refuse_text(value: Any) -> Any:
    if isinstance(value, str):
        raise mistake(f"got {quoted(value)}, expected a section", f"write 'strategy: {{preset: {value}}}'")
    return value


PlannedStrategy = Annotated[Strategy, BeforeValidator(_refuse_text)]
