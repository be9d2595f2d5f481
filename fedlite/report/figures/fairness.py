"""How evenly the final model serves the clients: every client in order, and by device class."""

from __future__ import annotations

from typing import Any

import polars as pl

from fedlite.report import tables
from fedlite.report.figure import Figure, Scale, TextTable, View, bars_height, labels
from fedlite.report.figures.shapes import axis, boxes, rows_axis
from fedlite.report.words import count, percent

MOST_BARS = 400


def across_clients(evaluation: pl.DataFrame, by_class: pl.DataFrame, column: str) -> Figure | None:
    """Return each client's accuracy from worst to best, and `by_class` (a spread of accuracies) as boxes."""
    found = tables.fairness(evaluation)
    if not found.clients:
        return None
    views = [_ordered(evaluation, found)]
    if not by_class.is_empty():
        views.append(_classes(by_class, column))
    return Figure(
        id="fairness",
        title="Accuracy of each client",
        views=tuple(views),
        caption=(
            f"The final model on every client's own test data, worst first; the worst tenth is marked. "
            f"Mean {percent(found.mean)}, standard deviation {percent(found.deviation)}, "
            f"worst tenth {percent(found.worst)}."
        ),
        alt=(
            f"Bar chart of {count(found.clients)} clients' accuracies in ascending order; the worst tenth has "
            f"{percent(found.worst)} in the mean, the best tenth {percent(found.best)}."
        ),
        table=_table(found, by_class, column),
        height=max(320, bars_height(by_class.height)),
    )


def _ordered(evaluation: pl.DataFrame, found: tables.Fairness) -> View:
    known = (
        evaluation.filter(pl.col("accuracy").is_finite()).sort("accuracy", "client").with_row_index("rank", offset=1)
    )
    shown = tables.thinned(known, MOST_BARS)
    edge = tables.worst_count(found.clients)
    parts = (
        ("worst tenth", shown.filter(pl.col("rank") <= edge), "$red"),
        ("the others", shown.filter(pl.col("rank") > edge), "$blue"),
    )
    traces = [_bars(name, rows, colour) for name, rows, colour in parts if rows.height]
    mean = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": found.mean, "y1": found.mean}
    layout = {
        "xaxis": {
            "title": {"text": "clients, worst first"},
            "showticklabels": False,
            "showgrid": False,
            "type": "category",
        },
        "yaxis": axis("accuracy", tickformat=".0%"),
        "bargap": 0.15 if shown.height <= 80 else 0,  # noqa: PLR2004 - narrower gaps would alias on a phone
        "shapes": [mean | {"line": {"color": "$soft", "width": 1.2, "dash": "dot"}}],
        "annotations": [_note(found.mean)],
    }
    return View("Every client", traces, layout)


def _bars(name: str, rows: pl.DataFrame, colour: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": rows["rank"].to_list(),
        "y": rows["accuracy"].to_list(),
        "customdata": rows.select("client", "samples").rows(),
        "marker": {"color": colour},
        "hovertemplate": "client %{customdata[0]}<br>%{y:.1%} of %{customdata[1]} samples<extra></extra>",
    }


def _note(mean: float) -> dict[str, Any]:
    return {
        "xref": "paper", "x": 0.01, "xanchor": "left", "y": mean, "yanchor": "bottom", "showarrow": False,
        "text": f"mean {percent(mean)}", "font": {"color": "$soft", "size": 12},
    }  # fmt: skip


def _classes(by_class: pl.DataFrame, column: str) -> View:
    ordered = by_class.sort(["q50", column])
    names = labels(ordered[column].cast(pl.String).to_list())
    layout = {"xaxis": axis("accuracy (%)"), "yaxis": rows_axis(names), "showlegend": False}
    return View("By device class", [boxes(ordered, names, Scale(0.01, "%"))], layout)


def _table(found: tables.Fairness, by_class: pl.DataFrame, column: str) -> TextTable:
    whole = ("all clients", count(found.clients), percent(found.mean), "", "", "")
    rows = tuple(
        (str(row[column]), count(row["jobs"]), *(percent(row[key]) for key in ("mean", "q05", "q50", "q95")))
        for row in by_class.iter_rows(named=True)
    )
    head = ("Class", "Clients", "Mean", "5 %", "Median", "95 %")
    return TextTable("Accuracy by device class", head, (whole, *rows), frozenset(range(1, 6)))
