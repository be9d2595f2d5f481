"""The `clients` section: which device class trains which compressed form of the model; the first fitting rule holds."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from fedlite.devices.profile import Tier
from fedlite.scenario import names
from fedlite.scenario.base import Section, mistake
from fedlite.scenario.quantities import Fraction, Means, PositiveFraction
from fedlite.scenario.wire import Codec, DownCodec

TierName = Annotated[
    str,
    names.after(names.checked("a tier", lambda: [tier.value for tier in Tier])),
    Means("device tier, such as `mcu`"),
]


_ANY: Final = "any"


class Selector(Section):
    """Which devices a rule is for: all of a tier, all of a profile, or any (then both keys are unset)."""

    tier: TierName | None = None
    """Every profile of this tier."""
    profile: str | None = None
    """The profile of this name."""

    @model_validator(mode="after")
    def _not_both(self) -> Selector:
        if self.tier is not None and self.profile is not None:
            raise mistake("got both tier and profile, expected one", "keep the profile, whose tier is known")
        return self

    def fits(self, *, profile: str, tier: str) -> bool:
        """Tell whether a device of this profile and tier is meant."""
        return self.who == _ANY or self.profile == profile or self.tier == tier

    @property
    def who(self) -> str:
        """The tier, the profile, or `any`."""
        return self.tier or self.profile or _ANY


def _expand_selector(value: Any) -> Any:
    if value == _ANY:
        return {}
    if isinstance(value, str) or value in ({}, None):
        raise mistake(f"got {value!r}, expected a tier, a profile or 'any'", "write 'for: {tier: mcu}' or 'for: any'")
    return value


def _write_selector(selector: Selector) -> Any:
    return _ANY if selector.who == _ANY else selector.model_dump(exclude_none=True)


def _expand_plan(value: Any) -> Any:
    if value == "full":
        return {}
    if value == "auto":
        return {"auto": True}
    if isinstance(value, str):
        raise mistake(
            f"got the plan {value!r}, expected 'full', 'auto' or a mapping", "write for example 'plan: {width: 0.5}'"
        )
    return value


class Plan(Section):
    """What a device class trains and sends. An empty plan is the full model."""

    auto: bool = False
    """Choose the mildest plan that fits the device, and say why."""
    width: PositiveFraction = 1.0
    """Share of the channels a device trains: they are really removed."""
    sparsity: Annotated[Fraction, Field(lt=1)] = 0.0
    """Share of the weights held at zero by a mask; saves bytes, never time."""
    scope: Literal["global", "local"] = "global"
    """Whether the mask ranks weights over the whole model or layer by layer."""
    bits: Literal[8, 4] | None = None
    """Train against the rounding to this many bits; saves bytes, never time."""
    up: Codec | None = None
    """Codec in place of `wire.up`."""
    down: DownCodec | None = None
    """Codec in place of `wire.down`."""
    error_feedback: bool | None = None
    """In place of `wire.error_feedback`."""

    @model_validator(mode="after")
    def _auto_stands_alone(self) -> Plan:
        if self.auto and (self.width != 1.0 or self.sparsity or self.bits is not None):
            raise mistake("got 'auto' beside a width, sparsity or bits", "keep 'auto' or name the plan yourself")
        return self

    @property
    def label(self) -> str:
        """A short name for tables, such as "width 0.5, 8 bits"."""
        if self.auto:
            return "auto"
        parts = [f"width {self.width:g}"] if self.width != 1.0 else []
        parts += [f"{self.sparsity:.0%} sparse"] if self.sparsity else []
        parts += [f"{self.bits} bits"] if self.bits is not None else []
        return ", ".join(parts) or "full"

    @property
    def is_full(self) -> bool:
        """Whether a device trains the whole model, dense and in full precision."""
        return not self.auto and self.width == 1.0 and not self.sparsity and self.bits is None


class ClientRule(Section):
    """One rule: these devices follow this plan."""

    for_: Annotated[
        Selector,
        BeforeValidator(_expand_selector),
        PlainSerializer(_write_selector),
        Means("`{tier: ...}`, `{profile: ...}` or `any`"),
    ] = Field(alias="for")
    """The devices."""
    plan: Annotated[Plan, BeforeValidator(_expand_plan), Means("`full`, `auto` or a mapping")]
    """Their plan."""

    def fits(self, *, profile: str, tier: str) -> bool:
        """Tell whether a device of this profile and tier follows this rule."""
        return self.for_.fits(profile=profile, tier=tier)
