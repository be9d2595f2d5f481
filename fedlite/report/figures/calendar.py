"""The calendar of a run: its rounds and check-ins over the day, and what a user notices per week and month."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from fedlite.report.figure import Figure, TextTable, View
from fedlite.report.figures.shapes import axis, marker
from fedlite.report.markup import Safe, tag
from fedlite.report.words import count, decimal, number, percent, quantity
from fedlite.units import DAY_S, MONTH_S, WEEK_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HOURS: Final = [f"{hour:02d}" for hour in range(24)]
AT_ONCE: Final = (
    "Devices of this run are there whenever they meet its rules (protocol: none), and may be asked again at once. "
    "Its fleet time is the time of the work, not days on a calendar: no real fleet is like this. "
    "Write 'fleet: {protocol: production}' to let devices check in as they do in production."
)


def over_the_day(told: Mapping[str, Any] | None) -> Figure | Safe:
    """Return rounds per hour and check-ins by hour of the day; a remark where devices did not check in.

    Parameters
    ----------
    told : mapping, optional
        `calendar` of a run's summary.
    """
    if not told:
        return tag("div", AT_ONCE, class_="card")
    rounds = [value if math.isfinite(value) else None for value in map(number, told["rounds_per_hour"])]
    views = (
        _hours("Rounds", "rounds per hour", rounds),
        _hours("Check-ins", "check-ins", told["check_ins_by_hour"]),
    )
    return Figure(
        id="calendar",
        title="Over the day",
        views=views,
        caption=(
            "Rounds: how many were closed per hour, by hour of the fleet's day; a gap is an hour in which the run "
            "never was. Check-ins: how many devices came to the server, asked or not."
        ),
        alt=f"Bar chart by hour of the day: between {_ends(rounds)} rounds per hour.",
        table=TextTable(
            "Over the day",
            ("Hour", "Rounds per hour", "Check-ins"),
            tuple(
                (hour, decimal(each), count(came))
                for hour, each, came in zip(_HOURS, rounds, told["check_ins_by_hour"], strict=True)
            ),
            frozenset({1, 2}),
        ),
        height=300,
    )


def _hours(name: str, title: str, values: Sequence[float | None]) -> View:
    bars = {"type": "bar", "x": _HOURS, "y": list(values), "marker": marker("$blue")}
    bars["hovertemplate"] = f"%{{x}}:00<br>%{{y:.3~g}} {title}<extra></extra>"
    hours = {"title": {"text": "hour of the fleet's day"}, "type": "category"}
    return View(name, [bars], {"xaxis": hours, "yaxis": axis(title), "showlegend": False})


def _ends(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{decimal(min(known))} and {decimal(max(known))}" if known else "no"


def for_users(told: Mapping[str, Any] | None, target_s: float) -> TextTable | None:
    """Return what the campaign asks of its users; `target_s` is when the target was reached, not-a-number if never."""
    if not told:
        return None
    lasted_s = told["lasted_s"]
    long, week, month = lasted_s >= DAY_S, times(lasted_s, WEEK_S), times(lasted_s, MONTH_S)
    moved = told["metered_bytes"]
    often = told["participations"]
    in_vain = told["check_ins_in_vain"] / told["check_ins"] if told["check_ins"] else math.nan
    rows = [
        ("Time until the target", quantity(target_s, "time"), ""),
        ("Jobs per device", decimal(often["mean"]), f"{count(often['p95'])} (at most {count(often['most'])})"),
        (
            "Battery per user and week" if long else "Battery per user",
            _battery(told, "mean", week),
            _battery(told, "p95", week),
        ),
        (
            "Paid traffic per user and month" if long else "Paid traffic per user",
            quantity(moved["mean"] * month, "bytes"),
            quantity(moved["p95"] * month, "bytes"),
        ),
        ("Never did a job, of those that may", percent(told["never_heard"]), ""),
        ("Never checked in, of those that may", percent(told["never_checked_in"]), ""),
        ("Check-ins", count(told["check_ins"]), f"{percent(in_vain, 0)} in vain"),
        ("Energy of check-ins", quantity(told["check_in_j"], "energy"), ""),
    ]
    short = "" if lasted_s >= WEEK_S else f"; the run lasted {quantity(lasted_s, 'time')}"
    if long and short:
        short += " and is taken to go on as it went"
    return TextTable(
        f"What users notice{short}", ("", "Mean or total", "95th percentile"), tuple(rows), frozenset({1, 2})
    )


def times(lasted_s: float, period_s: float) -> float:
    """Return by what the costs of a run are multiplied for those of a week, say.

    Of less than a day nobody can say what a week would be: then it is what the run itself took, and this is 1.
    """
    return period_s / lasted_s if lasted_s >= DAY_S else 1.0


def _battery(told: Mapping[str, Any], of: str, times: float) -> str:
    energy_j, share = told["battery_j"][of] * times, told["battery_share"][of] * times
    return f"{quantity(energy_j, 'energy')} ({percent(share, 2)})"
