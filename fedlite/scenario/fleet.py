"""The `fleet` section: which devices there are, when they can take part, and what a job may take from them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, model_validator

from fedlite.errors import FedliteError, quoted
from fedlite.scenario import names, spelling
from fedlite.scenario.base import Section, at_most, mistake, unknown
from fedlite.scenario.paths import beside, folder_of
from fedlite.scenario.protocol import NoProtocol, Protocol
from fedlite.scenario.quantities import (
    Bytes,
    Fraction,
    Joules,
    Means,
    PositiveFraction,
    Seconds,
    WeekTime,
    write,
)
from fedlite.scenario.shorthand import expanding

MAX_SHARE: Final = 1e12
"""A weight: more devices than there are."""
MAX_PROFILES: Final = 200
"""Of a mix: several times as many as ship."""


def _read_mix(value: Any, info: ValidationInfo) -> Any:
    """Return {profile: share}; a text is the name of a shipped mix or the path of one's own."""
    if isinstance(value, str):
        return names.mix(value, folder_of(info))
    return value


def _check_mix(mix: dict[str, float]) -> dict[str, float]:
    if not mix:
        raise mistake("got no profile, expected at least one", "write for example 'mix: mixed'")
    total = math.fsum(mix.values())
    if abs(total - 1.0) > _SHARE_TOLERANCE and not all(share.is_integer() for share in mix.values()):
        raise mistake(
            f"got shares that add up to {total * 100:.6g} %, expected 100 %, or whole numbers such as 8 to 2",
            "change a share",
        )
    if total <= 0:
        raise mistake("got only shares of zero, expected at least one above", "raise a share")
    # In the order of the names, so that who writes the mix in which order changes nothing.
    return dict(sorted(mix.items(), key=lambda item: names.profile_name(item[0])))


_SHARE_TOLERANCE: Final = 1e-6


def _check_profile(name: str, info: ValidationInfo) -> str:
    if names.is_file(name):
        return names.profile_file(name, folder_of(info))
    known = names.profiles()
    if name not in known:
        raise unknown("a device profile", name, known)
    return name


def _read_share(value: Any) -> float:
    """A share is a percentage or a number; whole numbers are weights."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_SHARE:
        return float(value)
    if isinstance(value, str) and value.rstrip().endswith("%"):
        return names.percentage(value)
    raise mistake(f"got {quoted(value)}, expected a share", "write for example '30 %', or a whole number as weight")


def _spelled_profile() -> spelling.Spelling:
    return spelling.one_of(names.profiles(), spelling.path(".yaml", ".yml"))


ProfileName = Annotated[
    str,
    names.after(_check_profile),
    Means(
        "name of a device profile (`fedlite devices list`), or path of one's own",
        _spelled_profile,
    ),
]


def _write_share(share: float) -> str | float:
    # One is a weight, as two is; where it is the only share, both spellings mean the same.
    return write(share, "fraction") if share < 1 else share


Share = Annotated[
    float,
    BeforeValidator(_read_share),
    PlainSerializer(_write_share),
    Means("percentage or weight, such as `30 %`", lambda: spelling.quantity("fraction")),
]
Mix = Annotated[
    dict[ProfileName, Share],
    names.after(_check_mix),
    BeforeValidator(_read_mix),
    at_most(MAX_PROFILES, "profiles"),
    Means(
        "`{profile: share}`, or the name or path of a mix",
        lambda: spelling.one_of(
            names.mixes(),
            spelling.path(".yaml", ".yml"),
            {
                "type": "object",
                "minProperties": 1,
                "propertyNames": _spelled_profile(),
                "additionalProperties": spelling.quantity("fraction"),
            },
        ),
    ),
]
Access = Annotated[
    str,
    names.after(names.checked("an access type", names.accesses)),
    Means("access type, such as `wifi`", lambda: spelling.one_of(names.accesses())),
]
Region = Annotated[
    str,
    names.after(names.checked("a region", names.regions)),
    Means("country, such as `germany`", lambda: spelling.one_of(names.regions())),
]
Carbon = Annotated[
    str,
    names.after(names.checked("a carbon grid", names.carbon_grids)),
    Means("name of an electricity grid", lambda: spelling.one_of(names.carbon_grids())),
]


HabitName = Annotated[str, names.after(names.checked("a habit", names.habits))]


class Always(Section):
    """Every device is plugged in, on an unmetered network and idle all the time."""

    kind: Literal["always"] = "always"


class Diurnal(Section):
    """Devices charge and idle at home by night: a fixed habit per device, with its own time zone."""

    kind: Literal["diurnal"] = "diurnal"
    time_zones: tuple[Annotated[float, Field(ge=-12, le=14)], ...] = Field(default=(0.0,), strict=False, min_length=1)
    """Hours from the fleet's reference time, dealt evenly over the devices, such as `[-8, 0, 1, 9]`."""
    habits: dict[HabitName, float] = Field(default={})
    """Changes to the default habits, such as `{overnight_share: 0.7}`; names as in `DiurnalHabits`."""

    @model_validator(mode="after")
    def _habits_are_possible(self) -> Diurnal:
        from fedlite.simulation.diurnal import DiurnalHabits

        try:
            DiurnalHabits(**cast("dict[str, Any]", self.habits))
        except FedliteError as error:
            raise names.remade(error) from None
        return self


class Trace(Section):
    """Availability is replayed from a file."""

    kind: Literal["trace"] = "trace"
    file: Annotated[str, beside("the trace"), Means("path, taken from the scenario's folder")]
    """A trace in fedlite's CSV form."""
    period_s: Seconds | None = Field(default=None, alias="period")
    """After how long it begins anew, such as `7 d` to keep its weekdays; without it after its last interval."""


Availability = Annotated[
    Always | Diurnal | Trace,
    Field(discriminator="kind"),
    expanding("kind"),
]


class Rules(Section):
    """When a device may be asked; by default only idle, charging and unmetered (Bonawitz et al. 2019, section 3)."""

    charging: bool = True
    """Ask a device only while it is plugged in."""
    unmetered: bool = True
    """Ask a device only while its network costs nothing."""
    idle: bool = True
    """Ask a device only while nobody uses it."""
    min_battery: Fraction = 0.0
    """Ask a device only with at least this charge."""


class Budgets(Section):
    """What a job may take from a device. Each is optional; what is exceeded ends the job with its own outcome."""

    cpu_share: PositiveFraction | None = None
    """Share of the processor a background job may use; the rest makes it slower."""
    cpu_time_s: Seconds | None = Field(default=None, alias="cpu_time")
    """Processor time a job may use in one round."""
    memory_bytes: Bytes | None = Field(default=None, alias="memory")
    """Memory a job may take; without it the profile's own limit holds."""
    battery_floor: Fraction | None = None
    """Charge below which a job on battery stops."""
    energy_per_day_j: Joules | None = Field(default=None, alias="energy_per_day")
    """Energy all jobs of one device may use in a day."""
    storage_bytes: Bytes | None = Field(default=None, alias="storage")
    """Storage for the model and the job's data; without it the profile's own limit holds."""
    metered_per_month_bytes: Bytes | None = Field(default=None, alias="metered_per_month")
    """Bytes a device may move over a metered network in a month."""


class Network(Section):
    """Which links the devices use."""

    access: Access | None = None
    """Puts every device on this link instead of its profile's own."""
    region: Region | None = None
    """Moves Wi-Fi and Ethernet to a country's median fixed line."""


class Fleet(Section):
    """The simulated devices."""

    devices: Annotated[int, Field(ge=1, le=10_000_000)]
    """How many devices there are."""
    mix: Mix
    """Which profiles they have, and in which shares."""
    start_s: WeekTime = Field(default=0.0, alias="start")
    """Local day and time at which the run begins."""
    availability: Availability = Always()
    """When devices charge, are idle and have an unmetered network."""
    rules: Rules = Rules()
    """When a device may be asked."""
    protocol: Protocol = NoProtocol()
    """How devices and server meet: `none`, `production`, or a mapping that changes keys of `production`."""
    budgets: Budgets = Budgets()
    """What a job may take from a device."""
    network: Network = Network()
    """Which links the devices use."""
    carbon_grid: Carbon = "world"
    """Which grid's intensity turns joules into grams of CO2."""

    @model_validator(mode="after")
    def _battery_rules_agree(self) -> Fleet:
        floor = self.budgets.battery_floor
        if floor is not None and 0.0 < self.rules.min_battery < floor:
            raise mistake(
                f"got min_battery {self.rules.min_battery:.0%} below battery_floor {floor:.0%}, "
                "so devices are asked that must refuse at once",
                "raise rules.min_battery or lower budgets.battery_floor",
            )
        return self
