"""Which devices a part of a plan is about, and numbers that differ between classes of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer

from fedlite.errors import quoted
from fedlite.scenario import names, spelling
from fedlite.scenario.base import Section, at_most, mistake
from fedlite.scenario.clients import TierName
from fedlite.scenario.fleet import MAX_PROFILES
from fedlite.scenario.quantities import Fraction, Means, Seconds, write

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY: Final = "any"
STUB: Final = "TODO"
"""What an import writes where the other system's file holds nothing."""


def stub(example: str) -> BeforeValidator:
    """Return the annotation that refuses what an import left open, saying what belongs there."""

    def check(value: Any) -> Any:
        if value == STUB:
            raise mistake("got the stub TODO, which an import leaves where it knows nothing", f"write '{example}'")
        return value

    return BeforeValidator(check)


class DeviceFilter(Section):
    """Devices of one of these tiers or one of these profiles; without any key, all of them."""

    tiers: Annotated[tuple[TierName, ...], at_most(MAX_PROFILES, "tiers")] = Field(default=(), strict=False)
    """Tiers that are meant."""
    profiles: Annotated[tuple[str, ...], at_most(MAX_PROFILES, "profiles")] = Field(default=(), strict=False)
    """Profiles that are meant, by name."""

    @property
    def everyone(self) -> bool:
        """Whether no device is left out."""
        return not self.tiers and not self.profiles

    def fits(self, *, profile: str, tier: str) -> bool:
        """Tell whether devices of this profile and tier are meant."""
        return self.everyone or tier in self.tiers or profile in self.profiles


def _expand(value: Any) -> Any:
    if value in ({}, None):
        raise mistake(f"got {quoted(value)}, expected a number", "write one, or one for each tier or profile")
    return value if isinstance(value, dict) else {ANY: value}


def _writing(dimension: str) -> PlainSerializer:
    def back(table: dict[str, float]) -> Any:
        written = {key: write(value, dimension) for key, value in table.items()}
        return written[ANY] if list(written) == [ANY] else written

    return PlainSerializer(back)


def _tier_or_profile(name: str) -> str:
    if names.is_file(name):
        raise mistake(f"got {quoted(name)}, expected the name of a profile, not its file", "write the profile's name")
    return name


_ClassName = Annotated[str, names.after(_tier_or_profile)]
_FEW = at_most(MAX_PROFILES, "classes")
_BY_CLASS = ", or one for each tier or profile such as `{phone-low: ..., any: ...}`"

FractionByClass = Annotated[
    dict[_ClassName, Fraction],
    _FEW,
    BeforeValidator(_expand),
    _writing("fraction"),
    Means("fraction, such as `30 %`" + _BY_CLASS, beside=lambda: spelling.quantity("fraction")),
]
SecondsByClass = Annotated[
    dict[_ClassName, Seconds],
    _FEW,
    BeforeValidator(_expand),
    _writing("time"),
    Means("time, such as `10 ms`" + _BY_CLASS, beside=lambda: spelling.quantity("time")),
]


def of_class(table: Mapping[str, float] | None, *, profile: str, tier: str) -> float | None:
    """Return the number told for a profile, else for its tier, else for any; None if none is."""
    known = table or {}
    return next((known[key] for key in (profile, tier, ANY) if key in known), None)
