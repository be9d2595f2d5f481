"""What jobs cost in joules on each device class: distribution, components, and what was spent in vain."""

from __future__ import annotations

import polars as pl

from fedlite.report.figure import Figure, TextTable, View, bars_height, labels, scale_for
from fedlite.report.figures.shapes import axis, box_axis, boxes, rows_axis, stacked
from fedlite.report.words import band, count, percent, quantity


def by_class(spread: pl.DataFrame, classes: pl.DataFrame, column: str) -> Figure | None:
    """Return energy per job as boxes, then totals by component, by source, and by whether the update arrived."""
    if spread.is_empty() or not classes["energy_j"].sum():
        return None
    joined = spread.join(classes.drop("jobs"), on=column, how="inner").sort(["q50", column])
    names = labels(joined[column].cast(pl.String).to_list())
    total, lost = float(joined["energy_j"].sum()), float(joined["lost_j"].sum())
    joined = joined.with_columns(
        (pl.col("energy_j") - pl.col("lost_j")).alias("useful_j"),
        (pl.col("radio_j") - pl.col("tail_j")).alias("moving_j"),
    )
    shares = [percent(float(joined[name].sum()) / total, 0) for name in ("compute_j", "moving_j", "tail_j")]
    return Figure(
        id="energy",
        title="Energy",
        views=(
            _distribution(joined, names),
            _totals(
                "Components",
                joined,
                names,
                (
                    ("computing", "compute_j", "$blue", ""),
                    ("moving bytes", "moving_j", "$orange", "/"),
                    ("radio tails", "tail_j", "$grey", "x"),
                ),
            ),
            _totals(
                "Battery or mains",
                joined,
                names,
                (("battery", "battery_j", "$green", ""), ("mains", "mains_j", "$grey", "/")),
            ),
            _totals(
                "In vain", joined, names, (("arrived", "useful_j", "$blue", ""), ("in vain", "lost_j", "$red", "x"))
            ),
        ),
        caption=(
            "Per job: the box holds the middle half of the jobs, the whiskers nine in ten. The other views add up all "
            f"jobs of the class. {shares[0]} of this energy went into computing, {shares[1]} into moving bytes, "
            f"{shares[2]} into radios that stayed awake after it; {percent(lost / total)} went into jobs whose update "
            "was never used."
        ),
        alt=(
            f"Box chart of joules per job for {joined.height} device classes; the dearest, {joined[column][-1]}, takes "
            f"{quantity(joined['q50'][-1], 'energy')} in the median."
        ),
        table=_table(joined, column),
        height=bars_height(joined.height),
    )


def _distribution(joined: pl.DataFrame, names: list[str]) -> View:
    scale = scale_for(joined["q50"].to_list(), "energy")
    across = box_axis(f"energy ({scale.unit})", joined, scale)
    layout = {"xaxis": across, "yaxis": rows_axis(names), "showlegend": False}
    return View("Per job", [boxes(joined, names, scale)], layout)


def _totals(name: str, joined: pl.DataFrame, names: list[str], parts: tuple[tuple[str, str, str, str], ...]) -> View:
    scale = scale_for(joined["energy_j"].to_list(), "energy")
    traces = [
        stacked(part, names, scale.of(joined[key].to_list()), colour, unit=scale.unit, pattern=shape)
        for part, key, colour, shape in parts
    ]
    layout = {"barmode": "stack", "xaxis": axis(f"energy of all jobs ({scale.unit})"), "yaxis": rows_axis(names)}
    return View(name, traces, layout)


def _table(joined: pl.DataFrame, column: str) -> TextTable:
    keys = ("q05", "q50", "q95", "energy_j", "compute_j", "radio_j", "tail_j", "battery_j", "lost_j")
    rows = tuple(
        (
            str(row[column]),
            count(row["jobs"]),
            *(quantity(row[key], "energy") for key in keys),
            band(row["energy_low_j"], row["energy_high_j"], "energy"),
        )
        for row in joined.iter_rows(named=True)
    )
    head = (
        *("Class", "Jobs", "5 % of jobs", "Median job", "95 % of jobs", "All jobs", "Computing", "Radio"),
        *("Radio tails", "From battery", "In vain", "Band of all jobs"),
    )
    return TextTable("Energy by device class", head, rows, frozenset(range(1, 12)))
