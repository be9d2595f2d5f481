"""How good the model became, against rounds, virtual time, uplink bytes and joules."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from fedlite.learning.objectives import LOSS
from fedlite.report import measure, tables
from fedlite.report.figure import Figure, Scale, TextTable, View, scale_for
from fedlite.report.figures.shapes import axis
from fedlite.report.words import count, quantity

if TYPE_CHECKING:
    import polars as pl

    from fedlite.learning.objectives import Metric

MOST_MARKERS = 60
AXES = (
    ("Rounds", "round", "", "round"),
    ("Virtual time", "time_s", "time", "virtual time"),
    ("Uplink", "up_bytes", "bytes", "bytes sent up by all devices"),
    ("Energy", "energy_j", "energy", "energy of all devices"),
)


def against_costs(curve: pl.DataFrame, metric: Metric, judged: str) -> Figure | None:
    """Return the metric, by somebody's test, against four costs; None if the run was never evaluated."""
    curve = tables.thinned(curve.drop_nulls(metric.name), 1_000)
    if curve.is_empty():
        return None
    first, last = (measure.text(metric, curve[metric.name][place]) for place in (0, -1))
    return Figure(
        id="learning",
        title=f"{measure.heading(metric)}, {judged}",
        views=tuple(_view(curve, metric, *choice) for choice in AXES),
        caption=(
            "The same evaluations against four different costs; choose one above. On the energy axis the band spans "
            "the low and the high estimate of the energy at which a value was first reached."
        ),
        alt=f"Line chart: {measure.words(metric)} goes from {first} to {last} over "
        f"{count(curve['round'].max())} rounds.",
        table=_table(tables.thinned(curve, 40), metric),
        height=360,
    )


def _view(curve: pl.DataFrame, metric: Metric, name: str, column: str, dimension: str, words: str) -> View:
    values: list[float | None] = curve[column].to_list()
    scale = scale_for(values, dimension) if dimension else Scale(1.0, "")
    heights = curve[metric.name].to_list()
    traces = [_line(scale.of(values), heights, scale.unit or "round", metric)]
    if column == "energy_j":
        traces.insert(0, _band(curve, metric, scale))
    title = f"{words} ({scale.unit})" if scale.unit else words
    return View(name, traces, {"xaxis": axis(title), "yaxis": measure.value_axis(metric), "showlegend": False})


def _line(x: list[float | None], y: list[float | None], unit: str, metric: Metric) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) <= MOST_MARKERS else "lines",
        "x": x,
        "y": y,
        "line": {"color": "$blue", "width": 2.4},
        "marker": {"color": "$blue", "size": 6},
        "hovertemplate": f"{measure.hover(metric)}<br>%{{x:.4~g}} {unit}<extra></extra>",
    }


def _band(curve: pl.DataFrame, metric: Metric, scale: Scale) -> dict[str, Any]:
    """Return the area between the least and the most energy at which a value may have been reached first."""
    # Of values that rise and fall, the way back along the other end would cross the way there.
    heights = list(accumulate(curve[metric.name].to_list(), max if metric.goal == "max" else min))
    low = scale.of(curve["energy_low_j"].to_list())
    high = scale.of(curve["energy_high_j"].to_list())
    return {
        "type": "scatter",
        "mode": "lines",
        "x": low + high[::-1],
        "y": heights + heights[::-1],
        "fill": "toself",
        "fillcolor": "$blue-band",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _table(curve: pl.DataFrame, metric: Metric) -> TextTable:
    shown = (metric,) if metric.name == LOSS.name else (metric, LOSS)
    rows = tuple(
        (
            count(row["round"]),
            quantity(row["time_s"], "time"),
            quantity(row["up_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
            *(measure.text(each, row[each.name]) for each in shown),
        )
        for row in curve.iter_rows(named=True)
    )
    head = ("Round", "Virtual time", "Uplink so far", "Energy so far", *map(measure.heading, shown))
    return TextTable("Central evaluations", head, rows, frozenset(range(1, 6)))


def targets(curve: pl.DataFrame, metric: Metric) -> TextTable | None:
    """Return when each value of the metric was first reached and what it had cost; None if none was."""
    reached = tables.first_reached(curve, metric)
    if reached.is_empty():
        return None
    rows = tuple(
        (
            measure.text(metric, row["target"], 0),
            count(row["round"]),
            quantity(row["time_s"], "time"),
            quantity(row["up_bytes"], "bytes"),
            quantity(row["down_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
        )
        for row in reached.iter_rows(named=True)
    )
    head = (measure.heading(metric), "Round", "Virtual time", "Uplink", "Downlink", "Energy")
    caption = f"When a value of {measure.words(metric)} was first reached, and what it had cost"
    return TextTable(caption, head, rows, frozenset(range(1, 6)))
