"""How long jobs take on each device class, as a distribution and by phase."""

from __future__ import annotations

import polars as pl

from fedlite.report.figure import Figure, TextTable, View, bars_height, labels, scale_for
from fedlite.report.figures.shapes import axis, box_axis, boxes, rows_axis, stacked
from fedlite.report.words import count, quantity


def by_class(spread: pl.DataFrame, classes: pl.DataFrame, waited: pl.DataFrame, column: str) -> Figure | None:
    """Return job time by class as boxes, and its mean by phase; `spread` is of arrived jobs, `waited` of rounds."""
    if spread.is_empty():
        return None
    joined = (
        spread.join(classes.select(column, "down_s", "train_s", "up_s"), on=column, how="left")
        .join(waited, on=column, how="left")
        .with_columns(pl.col("rounds_last").fill_null(0))
        .sort(["q50", column])
    )
    names = labels(joined[column].cast(pl.String).to_list())
    slowest = joined.row(-1, named=True)
    return Figure(
        id="time",
        title="Time of a job",
        views=(_distribution(joined, names), _phases(joined, names)),
        caption=(
            "Whole job: from the request to the arrived update; the box holds the middle half of the "
            "jobs, the whiskers "
            "nine in ten. Phases: the mean of receiving, training and sending."
        ),
        alt=(
            f"Box chart of job time for {joined.height} device classes, fastest first; the slowest, {slowest[column]}, "
            f"takes {quantity(slowest['q50'], 'time')} in the median."
        ),
        table=_table(joined, column),
        height=bars_height(joined.height),
    )


def _distribution(joined: pl.DataFrame, names: list[str]) -> View:
    scale = scale_for(joined["q50"].to_list(), "time")
    layout = {"xaxis": box_axis(f"time ({scale.unit})", joined, scale), "yaxis": rows_axis(names), "showlegend": False}
    return View("Whole job", [boxes(joined, names, scale)], layout)


def _phases(joined: pl.DataFrame, names: list[str]) -> View:
    totals = [sum(filter(None, row)) for row in joined.select("down_s", "train_s", "up_s").iter_rows()]
    scale = scale_for(list(totals), "time")
    parts = (("down", "down_s", "$sky", "\\"), ("train", "train_s", "$blue", ""), ("up", "up_s", "$orange", "/"))
    traces = [
        stacked(name, names, scale.of(joined[key].to_list()), colour, unit=scale.unit, pattern=shape)
        for name, key, colour, shape in parts
    ]
    layout = {"barmode": "stack", "xaxis": axis(f"mean time ({scale.unit})"), "yaxis": rows_axis(names)}
    return View("Phases", traces, layout)


def _table(joined: pl.DataFrame, column: str) -> TextTable:
    keys = ("q05", "q50", "q95", "down_s", "train_s", "up_s")
    rows = tuple(
        (str(row[column]), count(row["jobs"]), *(quantity(row[key], "time") for key in keys), count(row["rounds_last"]))
        for row in joined.iter_rows(named=True)
    )
    head = ("Class", "Arrived", "5 %", "Median", "95 %", "Mean down", "Mean train", "Mean up", "Rounds it ended")
    return TextTable("Time of arrived jobs by device class", head, rows, frozenset(range(1, 9)))
