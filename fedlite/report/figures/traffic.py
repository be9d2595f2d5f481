"""Bytes: what was sent against what it would have been uncompressed, and what went over metered networks."""

from __future__ import annotations

import polars as pl

from fedlite.report.figure import Figure, TextTable, View, bars_height, labels, scale_for
from fedlite.report.figures.shapes import axis, rows_axis, stacked
from fedlite.report.words import count, percent, quantity

WAYS = (("Uplink", "up"), ("Downlink", "down"))


def by_class(classes: pl.DataFrame, column: str) -> Figure | None:
    """Return encoded beside raw bytes, up and down, and metered bytes, of all jobs of each class."""
    moved = classes.filter(pl.col("up_bytes") + pl.col("down_bytes") > 0)
    if moved.is_empty():
        return None
    moved = moved.sort(["up_bytes", column], descending=[True, False])
    names = labels(moved[column].cast(pl.String).to_list())
    views = [_sent(moved, names, name, way) for name, way in WAYS]
    metered = int(moved["metered_bytes"].sum())
    if metered:
        views.append(_metered(moved, names))
    up, raw = int(moved["up_bytes"].sum()), int(moved["up_raw_bytes"].sum())
    return Figure(
        id="traffic",
        title="Bytes on the air",
        views=tuple(views),
        caption=(
            "Sent: the length of the buffers that crossed the network, which is what is charged. "
            "Uncompressed: the same arrays (of a submodel its own) "
            f"as 32-bit floats. {quantity(metered, 'bytes')} went over metered networks."
        ),
        alt=f"Bar chart by device class: {quantity(up, 'bytes')} sent up for {quantity(raw, 'bytes')} of arrays.",
        table=_table(moved, column),
        height=bars_height(moved.height, per_row=40),
    )


def _sent(moved: pl.DataFrame, names: list[str], name: str, way: str) -> View:
    scale = scale_for(moved[f"{way}_raw_bytes"].to_list(), "bytes")
    traces = [
        stacked("sent", names, scale.of(moved[f"{way}_bytes"].to_list()), "$blue", unit=scale.unit),
        stacked(
            "uncompressed", names, scale.of(moved[f"{way}_raw_bytes"].to_list()), "$faint", unit=scale.unit, pattern="/"
        ),
    ]
    return View(name, traces, {"barmode": "group", "xaxis": axis(f"bytes ({scale.unit})"), "yaxis": rows_axis(names)})


def _metered(moved: pl.DataFrame, names: list[str]) -> View:
    scale = scale_for(moved["metered_bytes"].to_list(), "bytes")
    values = scale.of(moved["metered_bytes"].to_list())
    layout = {"xaxis": axis(f"metered bytes ({scale.unit})"), "yaxis": rows_axis(names), "showlegend": False}
    return View("Metered", [stacked("metered", names, values, "$orange", unit=scale.unit)], layout)


def _table(moved: pl.DataFrame, column: str) -> TextTable:
    keys = ("up_bytes", "up_raw_bytes", "down_bytes", "down_raw_bytes", "metered_bytes")
    rows = tuple(
        (
            str(row[column]),
            count(row["jobs"]),
            *(quantity(row[key], "bytes") for key in keys),
            percent(row["up_bytes"] / row["up_raw_bytes"]) if row["up_raw_bytes"] else "–",
        )
        for row in moved.iter_rows(named=True)
    )
    head = ("Class", "Jobs", "Up", "Up, raw", "Down", "Down, raw", "Metered", "Up of raw")
    return TextTable("Bytes by device class", head, rows, frozenset(range(1, 8)))
