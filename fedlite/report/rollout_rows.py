"""What is told of each world of a rollout, number by number, in the terminal and on the page: median and band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fedlite.report.words import NOTHING, count, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    Summary = dict[str, Any]
    Band = dict[str, float | None] | None
    Shown = Callable[[float], str]

NEVER: Final = "never"
_GLUE: Final = "\u00a0"


@dataclass(frozen=True)
class Told:
    """A number over replications as text; `band` is empty where there is nothing between which it lies."""

    median: str
    band: str = ""

    @property
    def line(self) -> str:
        """Both in one line."""
        return f"{self.median} ({self.band})" if self.band else self.median


@dataclass(frozen=True)
class Row:
    """A row of the table of worlds."""

    name: str
    tell: Callable[[Summary], Told]


def told(band: Band, show: Shown) -> Told:
    """Return a band as text. A bound that does not exist is one that was never reached in so many rehearsals."""
    if band is None:
        return Told(NOTHING)
    low, middle, high = (NEVER if band[key] is None else show(band[key] or 0.0) for key in ("p5", "p50", "p95"))
    return Told(middle, "" if low == high else f"{_without_unit(low, high)}–{high}")


def _without_unit(low: str, high: str) -> str:
    """Return the lower end without its unit where the upper end has the same: "31–47 Mbit/s"."""
    number, _, unit = low.rpartition(_GLUE)
    return number if unit and high.endswith(_GLUE + unit) else low


def time(value: float) -> str:
    """Return a duration as text."""
    return quantity(value, "time")


def share(value: float | None) -> str:
    """Return a share as text."""
    return percent(value, 1)


def _of(dimension: str) -> Shown:
    return lambda value: quantity(value, dimension)


def _row(name: str, show: Shown, *keys: str) -> Row:
    def tell(world: Summary) -> Told:
        found: Any = world
        for key in keys:
            found = found[key]
        return told(found, show)

    return Row(name, tell)


ROWS: Final = (
    _row("half have it after", time, "time_to_50_s"),
    _row("90 % after", time, "time_to_90_s"),
    _row("95 % after", time, "time_to_95_s"),
    _row("99 % after", time, "time_to_99_s"),
    _row("run it at the end", share, "covered"),
    _row("95 % of reachable", time, "time_to_95_of_reachable_s"),
    Row("stopped by a gate", lambda world: Told(share(world["p_abort"]))),
    _row("stopped after", time, "detect_time_s"),
    _row("devices on a bad one", count, "blast_radius", "devices"),
    _row("hours on it", count, "blast_radius", "device_hours"),
    _row("most of a class", share, "blast_radius", "worst_class"),
    _row("got it, stop or not", count, "blast_radius", "devices_in_all"),
    _row("keep it at the end", count, "blast_radius", "left_at_horizon"),
    _row("unmetered bytes", _of("bytes"), "bytes", "unmetered"),
    _row("metered bytes", _of("bytes"), "bytes", "metered"),
    _row("saved by delta", _of("bytes"), "bytes", "saved"),
    _row("for going back", _of("bytes"), "bytes", "rollback"),
    _row("server at most", _of("rate"), "server_peak_bps"),
    _row("energy", _of("energy"), "energy_j"),
    _row("of it downloads", _of("energy"), "energy", "delivery_j"),
    _row("failed downloads", count, "failed_attempts"),
    _row("accuracy", share, "accuracy", "mean"),
    _row("of the worst class", share, "accuracy", "worst"),
    _row("gap of classes", share, "accuracy", "gap"),
)
"""Every number that is told of a world."""


def rows(worlds: list[Summary]) -> list[Row]:
    """Return the rows that say something in at least one world."""
    nothing = {Told(NOTHING), Told("0"), Told(quantity(0.0, "bytes"))}
    return [row for row in ROWS if not {row.tell(world) for world in worlds} <= nothing]
