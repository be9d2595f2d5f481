"""What sequential gates saw in one rehearsal: the observed value over time, and what was not ruled out by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.report.figure import Figure, TextTable, View, scale_for
from fedlite.report.figures.rollout_shapes import area, line, thinned
from fedlite.report.figures.shapes import axis
from fedlite.report.words import NOTHING, count, decimal, percent, quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.report.figure import Scale
    from fedlite.report.rollout_data import RolloutData

    Told = dict[str, Any]

_ROWS: Final = 8
_SHARES: Final = frozenset({"install_failure", "crash", "accuracy", "battery_per_day"})
_WORDS: Final = {"install_failure": "installs that failed", "crash": "devices that crashed", "accuracy": "accuracy",
                 "latency_p95": "95th percentile of latency (s)", "battery_per_day": "battery per day"}  # fmt: skip
_ROOM: Final = 1.35
"""The axis ends so far beyond what was observed and tested; early bounds, which are wide, go beyond it."""


def over_time(data: RolloutData) -> Figure | None:
    """Return one view per gate with always-valid bounds; None for a plan without one, or where none saw anything."""
    found = data.summary["watched"]
    if not found:
        return None
    return Figure(
        id="watched",
        title="What sequential gates saw as reports came in",
        views=tuple(View(one["name"], *_view(one)) for one in found),
        caption=(
            "The line is what was observed up to then: a rate, or the new model less the control arm. The band is what "
            "the gate had not ruled out: its own test, asked of every other value. It may be looked at any time; each "
            "of its edges is ever wrong with a chance of at most "
            + " or ".join(dict.fromkeys(_level(one["alpha"]) for one in found))
            + ". Where the band leaves the broken line on the bad side, there is a regression; it keeps what it has "
            "ruled out. The gate goes by the evidence of its own looks, which may have faded since. The cross is "
            "the look at which it stopped the rollout. "
            + " ".join(_which(one) for one in found)
        ),
        alt="Line charts with bands over time. " + "; ".join(_said(one) for one in found) + ".",
        table=_table(found),
        height=400,
    )  # fmt: skip


def _level(alpha: float) -> str:
    return percent(alpha, 1 if alpha >= 0.01 else 2)  # noqa: PLR2004


def _which(one: Told) -> str:
    of = "the fleet" if one["of"] == "fleet" else one["of"]
    return f"{one['name']}: {of} in {one['world']}, rehearsal {one['replication'] + 1}, the median one by its stop."


def _show(one: Told) -> Callable[[float | None], str]:
    return (lambda value: percent(value, 2)) if one["metric"] in _SHARES else decimal


def _view(one: Told) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    scale = scale_for([one["times_s"][-1]], "time")
    x = [time_s / scale.factor for time_s in one["times_s"]]
    low, high = _limits(one)
    known = [i for i, value in enumerate(one["observed"]) if value is not None]
    ends = [[high if value is None else min(value, high) for value in one["high"]],
            [low if value is None else max(value, low) for value in one["low"]]]  # fmt: skip
    words = "observed" if one["kind"] == "rate" else "new model less control"
    traces = [
        area(x, *reversed(ends), name="not ruled out", showlegend=True, line={"width": 1, "color": "$blue"}),
        line(words, [x[i] for i in known], [one["observed"][i] for i in known]),
        line("baseline" if one["kind"] == "rate" else "no difference", [0.0, x[-1]], [one["reference"]] * 2,
             line={"color": "$grey", "width": 1.6, "dash": "dash"}, hoverinfo="skip"),
    ]  # fmt: skip
    if one["stop_s"] is not None:
        traces.append(_alarm(one, scale))
    form: dict[str, Any] = {"tickformat": ".3~p"} if one["metric"] in _SHARES else {}
    title = _WORDS[one["metric"]] + (", difference" if one["kind"] == "difference" else "")
    layout = {"xaxis": axis(f"since the rollout began ({scale.unit})", range=[0, 1.02 * x[-1]]),
              "yaxis": axis(title, range=[low, high], **form), "showlegend": True}  # fmt: skip
    return traces, layout


def _limits(one: Told) -> tuple[float, float]:
    """Return the ends of the axis: around what was observed late enough to mean something, and the tested value."""
    late = len(one["observed"]) // 4
    around = [one["reference"], one["low"][-1], one["high"][-1], *one["observed"][late:]]
    values = [x for x in around if x is not None]
    least, most = min(values), max(values)
    room = (_ROOM - 1.0) * ((most - least) or abs(most) or 1.0)
    return (max(0.0, least - room), min(1.0, most + room)) if one["kind"] == "rate" else (least - room, most + room)


def _alarm(one: Told, scale: Scale) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": "the gate trips", "x": [one["stop_s"] / scale.factor],
        "y": [one["observed"][-1]], "cliponaxis": False,
        "marker": {"symbol": "x", "size": 13, "color": "$red", "line": {"color": "$paper", "width": 1.5}},
        "hovertemplate": f"after %{{x:.3~g}} {scale.unit}<extra>the gate trips</extra>",
    }  # fmt: skip


def _said(one: Told) -> str:
    show = _show(one)
    end = (
        f"{one['name']} in {one['world']}: {show(one['observed'][-1])} observed of {count(one['devices'][-1])} devices"
    )
    stop = "never trips" if one["stop_s"] is None else f"trips after {quantity(one['stop_s'], 'time')}"
    return f"{end}, {_span(one, -1)} not ruled out, {stop}"


def _span(one: Told, i: int) -> str:
    low, high = (NOTHING if one[key][i] is None else _show(one)(one[key][i]) for key in ("low", "high"))
    return f"{low} to {high}"


def _table(found: list[Told]) -> TextTable:
    rows = tuple(
        (
            one["name"], quantity(one["times_s"][i], "time"), count(one["devices"][i]),
            NOTHING if one["observed"][i] is None else _show(one)(one["observed"][i]), _span(one, i),
            _show(one)(one["reference"]),
        )
        for one in found
        for i in thinned(len(one["times_s"]), _ROWS)
    )  # fmt: skip
    head = ("Gate", "After", "Reports", "Observed", "Not ruled out", "Tested")
    return TextTable("Bounds that hold at all times at once", head, rows, frozenset(range(1, 6)))
