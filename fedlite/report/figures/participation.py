"""Who took part: jobs by device class and outcome, and whether the model heard every class."""

from __future__ import annotations

from typing import Final

import polars as pl

from fedlite.report.figure import Figure, TextTable, View, bars_height, labels
from fedlite.report.figures.shapes import axis, rows_axis, stacked
from fedlite.report.words import count, percent

PARTS: Final = (
    ("arrived", "arrived", "$blue", ""),
    ("late", "late", "$orange", "/"),
    ("surplus", "not needed", "$sky", "."),
    ("lost", "lost", "$grey", "x"),
)
"""Column, what it is called, colour and pattern."""


def by_class(classes: pl.DataFrame, fleet: pl.DataFrame, column: str) -> Figure | None:
    """Return jobs by class and how they ended, and each class's share of the fleet against its share of updates."""
    merged = (
        fleet.group_by(column)
        .agg(pl.col("devices").sum().alias("fleet_devices"))
        .join(classes.select(column, "jobs", "arrived", "late", "surplus", "lost", "devices"), on=column, how="left")
        .with_columns(pl.col("jobs", "arrived", "late", "surplus", "lost", "devices").fill_null(0))
        .sort(["arrived", column], descending=[True, False])
    )
    if merged.is_empty():
        return None
    names = labels(merged[column].cast(pl.String).to_list())
    return Figure(
        id="participation",
        title="Who took part",
        views=(_jobs(merged, names), _representation(merged, names)),
        caption=(
            "Jobs: how the training jobs of each device class ended. Representation: a class whose "
            "share of the updates is "
            "far below its share of the fleet is hardly heard by the model."
        ),
        alt=_alt(merged, column),
        table=_table(merged, column),
        height=bars_height(merged.height),
    )


def _jobs(merged: pl.DataFrame, names: list[str]) -> View:
    parts = [
        stacked(words, names, merged[name].to_list(), colour, unit="jobs", pattern=shape)
        for name, words, colour, shape in PARTS
        if name == "arrived" or merged[name].sum()
    ]
    return View("Jobs", parts, {"barmode": "stack", "xaxis": axis("jobs"), "yaxis": rows_axis(names)})


def _representation(merged: pl.DataFrame, names: list[str]) -> View:
    fleet = _shares(merged["fleet_devices"])
    updates = _shares(merged["arrived"])
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": values,
            "y": names,
            "marker": {"color": colour, "size": 11, "symbol": symbol, "line": {"width": 1.5, "color": colour}},
            "hovertemplate": f"%{{y}}<br>%{{x:.1%}}<extra>{name}</extra>",
        }
        for name, values, colour, symbol in (
            ("share of the fleet", fleet, "$orange", "diamond-open"),
            ("share of the updates", updates, "$blue", "circle"),
        )
    ]
    links = [
        {
            "type": "line",
            "x0": a,
            "x1": b,
            "y0": name,
            "y1": name,
            "line": {"color": "$faint", "width": 3},
            "layer": "below",
        }
        for a, b, name in zip(fleet, updates, names, strict=True)
    ]
    layout = {"xaxis": axis("share", tickformat=".0%"), "yaxis": rows_axis(names), "shapes": links}
    return View("Representation", traces, layout)


def _shares(values: pl.Series) -> list[float]:
    total = values.sum()
    return [value / total if total else 0.0 for value in values]


def _alt(merged: pl.DataFrame, column: str) -> str:
    top = merged.row(0, named=True)
    silent = merged.filter(pl.col("arrived") == 0).height
    return (
        f"Bar chart of {merged.height} device classes: most updates, {count(top['arrived'])}, came from {top[column]}; "
        f"{silent} classes sent none."
    )


def _table(merged: pl.DataFrame, column: str) -> TextTable:
    fleet, updates = _shares(merged["fleet_devices"]), _shares(merged["arrived"])
    rows = tuple(
        (
            str(row[column]),
            count(row["fleet_devices"]),
            count(row["devices"]),
            count(row["jobs"]),
            count(row["arrived"]),
            count(row["late"]),
            count(row["surplus"]),
            count(row["lost"]),
            percent(in_fleet),
            percent(in_updates),
        )
        for row, in_fleet, in_updates in zip(merged.iter_rows(named=True), fleet, updates, strict=True)
    )
    head = (
        *("Class", "Devices", "Asked", "Jobs", "Arrived", "Late", "Not needed", "Lost"),
        *("Share of fleet", "Share of updates"),
    )
    return TextTable("Participation by device class", head, rows, frozenset(range(1, 10)))
