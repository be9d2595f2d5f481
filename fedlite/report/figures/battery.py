"""What the run did to batteries: part of the charge a job used, and charge before and after."""

from __future__ import annotations

from typing import Any

import polars as pl

from fedlite.report.figure import Figure, Scale, TextTable, View, bars_height, labels
from fedlite.report.figures.shapes import axis, box_axis, boxes, rows_axis
from fedlite.report.words import count, percent, quantity


def by_class(used: pl.DataFrame, levels: pl.DataFrame, column: str) -> Figure | None:
    """Return charge used per job (`used`: a spread of fractions) and charge before and after (`levels`); by class.

    None for a fleet without batteries, and where every job ran on a charger.
    """
    if used.is_empty() or levels.is_empty() or not levels["used_most"].max():
        return None
    joined = used.join(levels.drop("jobs", "used"), on=column, how="inner").sort(["q50", column])
    names = labels(joined[column].cast(pl.String).to_list())
    hungriest = joined.row(-1, named=True)
    return Figure(
        id="battery",
        title="Batteries",
        views=(_used(joined, names), _levels(joined, names)),
        caption=(
            "Used by a job: part of the charge the device had when the job began; zero while it runs "
            "on its charger, and on a logarithmic axis a box that goes down to zero is cut off at the left. Before and "
            "after: median charge, as part of the fullest charge seen in the class."
        ),
        alt=(
            f"Box chart of charge used per job for {joined.height} device classes with a battery; most in the median: "
            f"{hungriest[column]} with {percent(hungriest['q50'], 2)}."
        ),
        table=_table(joined, column),
        height=bars_height(joined.height),
    )


def _used(joined: pl.DataFrame, names: list[str]) -> View:
    scale = Scale(0.01, "%")
    across = box_axis("charge used by one job (%)", joined, scale)
    layout = {"xaxis": across, "yaxis": rows_axis(names), "showlegend": False}
    return View("Used by a job", [boxes(joined, names, scale)], layout)


def _levels(joined: pl.DataFrame, names: list[str]) -> View:
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": [row[key] / row["fullest_j"] for row in joined.iter_rows(named=True)],
            "y": names,
            "marker": {"color": colour, "size": 11, "symbol": symbol},
            "hovertemplate": f"%{{y}}<br>%{{x:.1%}}<extra>{name}</extra>",
        }
        for name, key, colour, symbol in (
            ("median before", "before_j", "$green", "circle"),
            ("median after", "after_j", "$orange", "diamond-open"),
            ("lowest after", "least_after_j", "$red", "line-ns-open"),
        )
    ]
    return View("Before and after", traces, {"xaxis": axis("charge", tickformat=".0%"), "yaxis": rows_axis(names)})


def _table(joined: pl.DataFrame, column: str) -> TextTable:
    rows = tuple(
        (
            str(row[column]),
            count(row["jobs"]),
            percent(row["q50"], 3),
            percent(row["q95"], 3),
            percent(row["used_most"], 3),
            quantity(row["before_j"], "energy"),
            quantity(row["after_j"], "energy"),
            quantity(row["least_after_j"], "energy"),
        )
        for row in joined.iter_rows(named=True)
    )
    head = ("Class", "Jobs", "Median use", "95 % use", "Most used", "Median before", "Median after", "Lowest after")
    return TextTable("Battery charge by device class", head, rows, frozenset(range(1, 8)))
