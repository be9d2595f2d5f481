"""Rehearsed rollouts in the terminal: tables that a release manager can paste."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from fedlite.report.words import count, percent, quantity
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Summary = dict[str, Any]


def tables(summary: Summary) -> Iterator[Table]:
    """Yield what the worlds came to, why devices were not reached, and what gates see."""
    yield _worlds(summary)
    yield _never(summary)
    if summary["gates"]:
        yield _gates(summary)


def _worlds(summary: Summary) -> Table:
    made = Table(
        title=f"{summary['name']}: {count(summary['replications'])} rehearsals of {count(summary['devices'])} devices"
        " in each world; median (5 to 95 %)",
        title_justify="left",
    )
    made.add_column("")
    for world in summary["worlds"]:
        made.add_column(world["name"], justify="right")
    for name, tell in _ROWS.items():
        made.add_row(name, *(tell(world) for world in summary["worlds"]))
    return made


def _never(summary: Summary) -> Table:
    made = Table(title="Devices that never ran the new model, and why", title_justify="left")
    made.add_column("")
    for world in summary["worlds"]:
        made.add_column(world["name"], justify="right")
    for state in State:
        if any(state.value in world["never"] for world in summary["worlds"]):
            told = (world["never"].get(state.value, {"p50": 0.0}) for world in summary["worlds"])
            made.add_row(state.reason, *(percent(one["p50"], 1) for one in told))
    return made


def _gates(summary: Summary) -> Table:
    made = Table(title="What gates see, wave by wave, before anything is rehearsed", title_justify="left")
    for name in ("gate", "wave", "devices", "effect", "seen with", "least effect seen in 4 of 5"):
        made.add_column(name)
    for row in summary["gates"]:
        of = "" if row["of"] == "fleet" else f", {row['of']}"
        made.add_row(
            row["name"], f"{row['wave']}{of}", count(row["n"]),
            _number(row["effect"]), "-" if row["power"] is None else percent(row["power"], 0), _number(row["mde"]),
        )  # fmt: skip
    return made


def _number(value: float | None) -> str:
    return "-" if value is None else percent(value, 1)


def _banded(band: dict[str, float | None] | None, show: Callable[[float], str]) -> str:
    if band is None or band["p50"] is None:
        return "never" if band is not None and band["p5"] is None else "-" if band is None else "mostly never"
    low, high = band["p5"], band["p95"]
    if low == high:
        return show(band["p50"])
    return f"{show(band['p50'])} ({show(low or 0.0)} to {'never' if high is None else show(high)})"


def _time(name: str) -> Callable[[Summary], str]:
    return lambda world: _banded(world[name], lambda value: quantity(value, "time"))


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value, 1)


_ROWS: dict[str, Callable[[Summary], str]] = {
    "half of the fleet after": _time("time_to_50_s"),
    "90 % after": _time("time_to_90_s"),
    "95 % after": _time("time_to_95_s"),
    "99 % after": _time("time_to_99_s"),
    "95 % of those it can reach after": _time("time_to_95_of_reachable_s"),
    "stopped by a gate": lambda world: _share(world["p_abort"]),
    "stopped after": _time("detect_time_s"),
    "devices with a bad model before the stop": lambda world: _banded(world["blast_radius"]["devices"], count),
    "hours that they ran it": lambda world: _banded(world["blast_radius"]["device_hours"], count),
    "largest share of a class": lambda world: _banded(world["blast_radius"]["worst_class"], _share),
    "unmetered bytes": lambda world: _banded(world["bytes"]["unmetered"], lambda value: quantity(value, "bytes")),
    "metered bytes": lambda world: _banded(world["bytes"]["metered"], lambda value: quantity(value, "bytes")),
    "server at most": lambda world: _banded(world["server_peak_bps"], lambda value: quantity(value, "rate")),
    "energy": lambda world: _banded(world["energy_j"], lambda value: quantity(value, "energy")),
    "of it downloads": lambda world: _banded(world["energy"]["delivery_j"], lambda value: quantity(value, "energy")),
    "accuracy": lambda world: _banded(world["accuracy"]["mean"], _share),
    "of the worst class": lambda world: _banded(world["accuracy"]["worst"], _share),
    "failed downloads": lambda world: _banded(world["failed_attempts"], count),
}
