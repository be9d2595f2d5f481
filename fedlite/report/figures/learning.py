"""What accuracy the model reached, against rounds, virtual time, uplink bytes and joules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fedlite.report import tables
from fedlite.report.figure import Figure, Scale, TextTable, View, scale_for
from fedlite.report.figures.shapes import axis
from fedlite.report.words import count, decimal, percent, quantity

if TYPE_CHECKING:
    import polars as pl

MOST_MARKERS = 60
AXES = (
    ("Rounds", "round", "", "round"),
    ("Virtual time", "time_s", "time", "virtual time"),
    ("Uplink", "up_bytes", "bytes", "bytes sent up by all devices"),
    ("Energy", "energy_j", "energy", "energy of all devices"),
)


def accuracy(curve: pl.DataFrame) -> Figure | None:
    """Return the accuracy (or, without one, the loss) against four costs; None if the run was never evaluated."""
    curve = tables.thinned(curve, 1_000)
    if curve.is_empty():
        return None
    measure = "accuracy" if curve["accuracy"].is_not_null().any() else "loss"
    first, last = _ends(curve, measure)
    return Figure(
        id="learning",
        title=f"{measure.capitalize()} on the central test set",
        views=tuple(_view(curve, measure, *choice) for choice in AXES),
        caption=(
            "The same evaluations against four different costs; choose one above. On the energy axis "
            "the band spans the "
            "low and the high estimate of the energy model."
        ),
        alt=f"Line chart: {measure} goes from {first} to {last} over {count(curve['round'].max())} rounds.",
        table=_table(tables.thinned(curve, 40)),
        height=360,
    )


def _ends(curve: pl.DataFrame, measure: str) -> tuple[str, str]:
    known = curve[measure].drop_nulls()
    shown = percent if measure == "accuracy" else decimal
    return shown(known[0]), shown(known[-1])


def _view(curve: pl.DataFrame, measure: str, name: str, column: str, dimension: str, words: str) -> View:
    values: list[float | None] = curve[column].to_list()
    scale = scale_for(values, dimension) if dimension else Scale(1.0, "")
    heights = curve[measure].to_list()
    traces = [_line(scale.of(values), heights, scale.unit or "round", measure)]
    if column == "energy_j":
        traces.insert(0, _band(curve, heights, scale))
    title = f"{words} ({scale.unit})" if scale.unit else words
    vertical = axis(measure, tickformat=".0%") if measure == "accuracy" else axis(measure)
    return View(name, traces, {"xaxis": axis(title), "yaxis": vertical, "showlegend": False})


def _line(x: list[float | None], y: list[float | None], unit: str, measure: str) -> dict[str, Any]:
    height = "%{y:.1%}" if measure == "accuracy" else "%{y:.4g}"
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) <= MOST_MARKERS else "lines",
        "x": x,
        "y": y,
        "line": {"color": "$blue", "width": 2.4},
        "marker": {"color": "$blue", "size": 6},
        "hovertemplate": f"{height}<br>%{{x:.4~g}} {unit}<extra></extra>",
    }


def _band(curve: pl.DataFrame, heights: list[float | None], scale: Scale) -> dict[str, Any]:
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


def _table(curve: pl.DataFrame) -> TextTable:
    rows = tuple(
        (
            count(row["round"]),
            quantity(row["time_s"], "time"),
            quantity(row["up_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
            percent(row["accuracy"]),
            quantity_or_plain(row["loss"]),
        )
        for row in curve.iter_rows(named=True)
    )
    head = ("Round", "Virtual time", "Uplink so far", "Energy so far", "Accuracy", "Loss")
    return TextTable("Central evaluations", head, rows, frozenset(range(1, 6)))


def quantity_or_plain(value: float | None) -> str:
    """Return a loss with four digits, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def targets(curve: pl.DataFrame) -> TextTable | None:
    """Return when each accuracy was first reached and what it had cost; None if none was."""
    reached = tables.first_reached(curve)
    if reached.is_empty():
        return None
    rows = tuple(
        (
            percent(row["target"], 0),
            count(row["round"]),
            quantity(row["time_s"], "time"),
            quantity(row["up_bytes"], "bytes"),
            quantity(row["down_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
        )
        for row in reached.iter_rows(named=True)
    )
    head = ("Accuracy", "Round", "Virtual time", "Uplink", "Downlink", "Energy")
    return TextTable("When an accuracy was first reached, and what it had cost", head, rows, frozenset(range(1, 6)))
