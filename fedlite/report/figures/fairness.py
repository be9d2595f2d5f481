"""How evenly the final model serves the clients: every client in order, and by device class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from fedlite.report import measure, tables
from fedlite.report.figure import Figure, TextTable, View, bars_height, labels
from fedlite.report.figures.shapes import axis, boxes, rows_axis
from fedlite.report.words import count

if TYPE_CHECKING:
    from fedlite.learning.objectives import Metric

MOST_BARS = 400


def across_clients(evaluation: pl.DataFrame, by_class: pl.DataFrame, column: str, metric: Metric) -> Figure | None:
    """Return each client's metric from worst to best, and `by_class` (a spread of it) as boxes."""
    found = tables.fairness(evaluation, metric)
    shown = partial(measure.text, metric)
    if not found.clients:
        return None
    views = [_ordered(evaluation, found, metric)]
    if not by_class.is_empty():
        views.append(_classes(by_class, column, metric))
    return Figure(
        id="fairness",
        title=f"{measure.heading(metric)} of each client",
        views=tuple(views),
        caption=(
            f"The final model on every client's own test data, worst first; the worst tenth is marked. "
            f"Mean {shown(found.mean)}, standard deviation {shown(found.deviation)}, "
            f"worst tenth {shown(found.worst)}."
        ),
        alt=(
            f"Bar chart of {count(found.clients)} clients' {measure.words(metric)}, the worst first; the worst tenth "
            f"has {shown(found.worst)} in the mean, the best tenth {shown(found.best)}."
        ),
        table=_table(found, by_class, column, metric),
        height=max(320, bars_height(by_class.height)),
    )


def _ordered(evaluation: pl.DataFrame, found: tables.Fairness, metric: Metric) -> View:
    known = (
        evaluation.filter(pl.col(metric.name).is_finite())
        .sort(metric.name, "client", descending=[metric.goal == "min", False])
        .with_row_index("rank", offset=1)
    )
    shown = tables.thinned(known, MOST_BARS)
    edge = tables.worst_count(found.clients)
    parts = (
        ("worst tenth", shown.filter(pl.col("rank") <= edge), "$red"),
        ("the others", shown.filter(pl.col("rank") > edge), "$blue"),
    )
    traces = [_bars(name, rows, colour, metric) for name, rows, colour in parts if rows.height]
    mean = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": found.mean, "y1": found.mean}
    layout = {
        "xaxis": {
            "title": {"text": "clients, worst first"},
            "showticklabels": False,
            "showgrid": False,
            "type": "category",
        },
        "yaxis": measure.value_axis(metric),
        "bargap": 0.15 if shown.height <= 80 else 0,  # noqa: PLR2004 - narrower gaps would alias on a phone
        "shapes": [mean | {"line": {"color": "$soft", "width": 1.2, "dash": "dot"}}],
        "annotations": [_note(found.mean, metric)],
    }
    return View("Every client", traces, layout)


def _bars(name: str, rows: pl.DataFrame, colour: str, metric: Metric) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": rows["rank"].to_list(),
        "y": rows[metric.name].to_list(),
        "customdata": rows.select("client", "samples").rows(),
        "marker": {"color": colour},
        "hovertemplate": f"client %{{customdata[0]}}<br>{measure.hover(metric)} of %{{customdata[1]}} samples"
        "<extra></extra>",
    }


def _note(mean: float, metric: Metric) -> dict[str, Any]:
    return {
        "xref": "paper", "x": 0.01, "xanchor": "left", "y": mean, "yanchor": "bottom", "showarrow": False,
        "text": f"mean {measure.text(metric, mean)}", "font": {"color": "$soft", "size": 12},
    }  # fmt: skip


def _classes(by_class: pl.DataFrame, column: str, metric: Metric) -> View:
    ordered = by_class.sort(["q50", column], descending=[metric.goal == "min", False])
    scale = measure.scale(metric)
    title = f"{measure.words(metric)} ({scale.unit})" if scale.unit else measure.words(metric)
    names = labels(ordered[column].cast(pl.String).to_list())
    layout = {"xaxis": axis(title), "yaxis": rows_axis(names), "showlegend": False}
    return View("By device class", [boxes(ordered, names, scale)], layout)


def _table(found: tables.Fairness, by_class: pl.DataFrame, column: str, metric: Metric) -> TextTable:
    shown = partial(measure.text, metric)
    whole = ("all clients", count(found.clients), shown(found.mean), "", "", "")
    rows = tuple(
        (str(row[column]), count(row["jobs"]), *(shown(row[key]) for key in ("mean", "q05", "q50", "q95")))
        for row in by_class.iter_rows(named=True)
    )
    head = ("Class", "Clients", "Mean", "5 %", "Median", "95 %")
    return TextTable(f"{measure.heading(metric)} by device class", head, (whole, *rows), frozenset(range(1, 6)))
