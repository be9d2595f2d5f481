"""Field types that take "10 min", hold 600.0 and write "10 min" again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer

from fedlite import units
from fedlite.errors import UnitError, quoted
from fedlite.scenario import spelling
from fedlite.scenario.base import mistake

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetJsonSchemaHandler

    from fedlite.scenario.spelling import Spelling


@dataclass(frozen=True)
class Means:
    """What a field's type looks like to the person who writes it; the reference and the JSON Schema are made from it.

    Attributes
    ----------
    text : str
        For the reference.
    spelled : callable, optional
        Returns the JSON Schema of what is written, where that is not what it becomes.
    beside : callable, optional
        Returns what may be written beside what it becomes.
    """

    text: str
    spelled: Callable[[], Spelling] | None = None
    beside: Callable[[], Spelling] | None = None

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> Spelling:
        """Return the JSON Schema of the type."""
        if self.spelled is not None:
            return self.spelled()
        return spelling.any_of(self.beside(), handler(core)) if self.beside is not None else handler(core)


_WRITTEN: Final[dict[str, tuple[str, ...]]] = {
    "time": ("d", "h", "min", "s", "ms", "us"),
    "bytes": ("GB", "GiB", "MB", "MiB", "kB", "KiB", "B"),
    "energy": ("kWh", "Wh", "MJ", "kJ", "J", "mJ"),
    "power": ("W", "mW"),
    "rate": ("Gbit/s", "Mbit/s", "kbit/s", "bit/s"),
    "fraction": ("%",),
}
"""Units that a quantity may be written back in, and the last resort: the unit whose factor is 1."""
_SI: Final = {"time": "s", "bytes": "B", "energy": "J", "power": "W", "rate": "bit/s"}
_LONG = 6


def write(value: float, dimension: str) -> str | float:
    """Return the shortest text that `units.parse` reads back as exactly `value`."""
    if dimension == "fraction":
        percent = f"{value * 100:.10g} %"
        return percent if units.parse(percent, dimension) == value else value
    for unit in _WRITTEN[dimension]:
        number = f"{value / units.UNITS[dimension][unit]:.{_LONG}g}"
        text = f"{number} {unit}"
        if "e" not in number and float(number) >= 1 and units.parse(text, dimension) == value:
            return text
    return f"{value!r} {_SI[dimension]}"


def _reader(
    dimension: str, least: float, most: float | None, *, exclusive: bool, below: bool = False
) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            example = units.EXAMPLES[dimension]
            raise mistake(f"got {quoted(value)}, expected a quantity ({dimension})", f"write for example '{example}'")
        try:
            number = units.parse(value, dimension)
        except UnitError as error:
            message, _, remedy = str(error).rpartition("; ")
            raise mistake(message, remedy) from None
        low = number < least or (exclusive and number == least)
        if low or (most is not None and (number > most or (below and number == most))):
            meant_percent = dimension == "fraction" and 1 < number <= 100 and not str(value).endswith("%")  # noqa: PLR2004
            raise mistake(
                f"got {quoted(value)}, expected {_bounds(dimension, least, most, exclusive=exclusive, below=below)}",
                f"write '{value} %'" if meant_percent else "choose a value in this range",
            )
        return number

    return read


def _bounds(dimension: str, least: float, most: float | None, *, exclusive: bool, below: bool) -> str:
    low, high = write(least, dimension), None if most is None else write(most, dimension)
    if high is None:
        return f"more than {low}" if exclusive else f"{low} or more"
    if below:
        return f"more than {low} and less than {high}" if exclusive else f"{low} or more and less than {high}"
    return f"more than {low} and at most {high}" if exclusive else f"{low} to {high}"


def _type(
    dimension: str, least: float = 0.0, most: float | None = None, *, exclusive: bool = False, below: bool = False
) -> tuple[Any, ...]:
    """Return the annotations of a quantity type; `exclusive` leaves out the least, `below` the most."""

    def back(value: float) -> str | float:
        return write(value, dimension)

    bound = f" below {write(most, dimension)}" if below and most is not None else ""
    return (
        BeforeValidator(_reader(dimension, least, most, exclusive=exclusive, below=below)),
        PlainSerializer(back),
        Means(f"{dimension}{bound}, such as `{units.EXAMPLES[dimension]}`", lambda: spelling.quantity(dimension)),
    )


def _level(value: Any) -> Any:
    return _reader("fraction", 0.0, None, exclusive=False)(value) if isinstance(value, str) else value


Seconds = Annotated[float, *_type("time", exclusive=True)]
Duration = Annotated[float, *_type("time")]
"""Seconds that may be none."""
Bytes = Annotated[float, *_type("bytes", exclusive=True)]
Rate = Annotated[float, *_type("rate", exclusive=True)]
Joules = Annotated[float, *_type("energy", exclusive=True)]
Fraction = Annotated[float, *_type("fraction", most=1.0)]
PositiveFraction = Annotated[float, *_type("fraction", most=1.0, exclusive=True)]
PartialFraction = Annotated[float, *_type("fraction", most=1.0, below=True)]
"""A share that is not the whole."""
ProperFraction = Annotated[float, *_type("fraction", most=1.0, exclusive=True, below=True)]
"""A share that is neither nothing nor the whole."""
HalfFraction = Annotated[float, *_type("fraction", most=0.5, exclusive=True)]
Level = Annotated[
    float, BeforeValidator(_level), Means("number, or share such as `90 %`", lambda: spelling.quantity("fraction"))
]
Probability = Annotated[float, *_type("fraction", most=1.0)]
Ratio = Annotated[float, *_type("fraction", exclusive=True)]
"""A share that may be more than the whole."""
DayTime = Annotated[float, *_type("time", most=units.DAY_S)]
"""Seconds since local midnight."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEK_TIME = re.compile(rf"({'|'.join(_DAYS)}) ([01]?\d|2[0-3]):([0-5]\d)")


def read_week_time(value: Any) -> float:
    """Return the seconds from Monday 00:00 to "Fri 20:30"."""
    match = _WEEK_TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise mistake(f"got {quoted(value)}, expected a day and a time", "write for example 'Mon 20:00'")
    day, hour, minute = _DAYS.index(match[1]), int(match[2]), int(match[3])
    return day * units.DAY_S + hour * units.HOUR_S + minute * units.UNITS["time"]["min"]


def write_week_time(value_s: float) -> str:
    """Return "Fri 20:30" for the seconds since Monday 00:00."""
    day, rest_s = divmod(value_s, units.DAY_S)
    hour, rest_s = divmod(rest_s, units.HOUR_S)
    return f"{_DAYS[int(day)]} {int(hour):02d}:{int(rest_s / units.UNITS['time']['min']):02d}"


WeekTime = Annotated[
    float,
    BeforeValidator(read_week_time),
    PlainSerializer(write_week_time),
    Means("day and time, such as `Mon 20:00`", lambda: {"type": "string", "pattern": f"^{_WEEK_TIME.pattern}$"}),
]
