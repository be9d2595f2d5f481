"""Runs side by side: the main metric against each cost, one line per run, and final costs as bars with bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report import measure, tables
from fedlite.report.figure import DASHES, SERIES, SYMBOLS, Figure, Scale, View, bars_height, label, labels, scale_for
from fedlite.report.figures.learning import AXES
from fedlite.report.figures.shapes import axis, rows_axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from fedlite.learning.objectives import Metric

MOST_MARKED = 40
BARS = (
    ("Energy", "energy_j", "energy"),
    ("Uplink", "up_bytes", "bytes"),
    ("Downlink", "down_bytes", "bytes"),
    ("Virtual time", "virtual_time_s", "time"),
)


def curves(found: Sequence[pl.DataFrame], names: Sequence[str], metric: Metric) -> Figure | None:
    """Return the metric of every run against bytes, joules, time and rounds; `found` are learning curves."""
    shown = [
        (name, tables.thinned(curve.drop_nulls(metric.name), 300)) for name, curve in zip(names, found, strict=True)
    ]
    shown = [(name, curve) for name, curve in shown if curve.height]
    if not shown:
        return None
    order = [AXES[2], AXES[3], AXES[1], AXES[0]]
    ends = sorted(float(curve[metric.name][-1]) for _, curve in shown)
    side = "higher" if metric.goal == "max" else "lower"
    return Figure(
        id="curves",
        title=f"{measure.heading(metric)} against cost",
        views=tuple(_curves(shown, metric, *choice) for choice in order),
        caption=f"The {side} and the further left a line runs, the better its run is for the same cost.",
        alt=f"Line chart of {len(shown)} runs, which end with {measure.words(metric)} from "
        f"{measure.text(metric, ends[0])} to {measure.text(metric, ends[-1])}.",
        height=420,
    )


def _curves(
    shown: list[tuple[str, pl.DataFrame]], metric: Metric, name: str, column: str, dimension: str, words: str
) -> View:
    everything = [value for _, curve in shown for value in curve[column].to_list()]
    scale = scale_for(everything, dimension) if dimension else Scale(1.0, "")
    traces = [_line(position, run, curve, column, scale, metric) for position, (run, curve) in enumerate(shown)]
    title = f"{words} ({scale.unit})" if scale.unit else words
    return View(name, traces, {"xaxis": axis(title), "yaxis": measure.value_axis(metric), "showlegend": True})


def _line(position: int, name: str, curve: pl.DataFrame, column: str, scale: Scale, metric: Metric) -> dict[str, Any]:
    colour = SERIES[position % len(SERIES)]
    return {
        "type": "scatter",
        "mode": "lines+markers" if curve.height <= MOST_MARKED else "lines",
        "name": label(name),
        "x": scale.of(curve[column].to_list()),
        "y": curve[metric.name].to_list(),
        "line": {"color": colour, "width": 2.2, "dash": DASHES[position // len(SERIES) % len(DASHES)]},
        "marker": {"color": colour, "size": 6, "symbol": SYMBOLS[position % len(SYMBOLS)]},
        "hovertemplate": f"{measure.hover(metric)}<br>%{{x:.4~g}} {scale.unit}<extra>%{{fullData.name}}</extra>",
    }


def costs(totals: pl.DataFrame) -> Figure | None:
    """Return the final costs of the runs; energy with its band. `totals` is `run_sets.totals`."""
    if totals.is_empty():
        return None
    names = labels(totals["run"].to_list())
    return Figure(
        id="costs",
        title="Cost of the whole run",
        views=tuple(_bars(totals, names, *choice) for choice in BARS),
        caption="The bars carry the band of the energy model; runs on the same fleet share most of that error.",
        alt=f"Bar chart of the total cost of {totals.height} runs.",
        height=bars_height(totals.height, per_row=38),
    )


def _bars(totals: pl.DataFrame, names: list[str], name: str, column: str, dimension: str) -> View:
    values = totals[column].to_list()
    scale = scale_for(values, dimension)
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": scale.of(values),
        "width": 0.55,
        "marker": {"color": [SERIES[i % len(SERIES)] for i in range(len(names))]},
        "hovertemplate": f"%{{y}}<br>%{{x:.3~g}} {scale.unit}<extra></extra>",
    }
    if column == "energy_j":
        trace["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": ((totals["energy_high_j"] - totals["energy_j"]) / scale.factor).to_list(),
            "arrayminus": ((totals["energy_j"] - totals["energy_low_j"]) / scale.factor).to_list(),
            "color": "$text",
            "thickness": 1.4,
        }
    return View(
        name, [trace], {"xaxis": axis(f"{name.lower()} ({scale.unit})"), "yaxis": rows_axis(names), "showlegend": False}
    )
