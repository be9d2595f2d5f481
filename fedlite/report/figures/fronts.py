"""Trade-off fronts of a study: the main metric against each cost, spread over seeds, and who is beaten by nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fedlite.learning.objectives import Metric
from fedlite.report import measure
from fedlite.report.figure import DASHES, SERIES, SYMBOLS, Figure, Scale, View, label, scale_for
from fedlite.report.figures import placing
from fedlite.report.figures.learning import AXES
from fedlite.report.figures.shapes import axis
from fedlite.report.words import decimal, listed, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.report.trade_off import TradeOffs

GRID = 120
"""Points of a curve."""
MOST_OF_GRID = 840
"""Points of all curves of a view together, so that the page of many stays small."""
MOST_LINES = 14


@dataclass(frozen=True)
class Cost:
    """A column of costs that the metric is drawn against.

    Attributes
    ----------
    name : str
        Of the view.
    column : str
    dimension : str
        One of `units.UNITS`; "" for a plain number.
    words : str
        Of the axis.
    """

    name: str
    column: str
    dimension: str
    words: str


COSTS = (
    Cost("Bytes", "up_bytes", "bytes", "bytes sent up by all devices"),
    Cost("Energy", "energy_j", "energy", "energy of all devices"),
    Cost("Time", "virtual_time_s", "time", "virtual time"),
)
EPSILON = Cost("Privacy", "epsilon", "", "ε of what was released")
_ENDS = ("", "_min", "_max", "_low", "_high")
_SUFFIXES = (("_j", "energy"), ("_bytes", "bytes"), ("_s", "time"))


def costs_of(settings: pl.DataFrame) -> tuple[Cost, ...]:
    """Return the costs of a study's settings: bytes, joules, time, and epsilon where some state comparable ones."""
    return (*COSTS, *([EPSILON] if len(guarantees(settings)) == 1 else []))


def guarantees(settings: pl.DataFrame) -> list[tuple[float | None, str | None]]:
    """Return (delta, what it guards against) of the epsilons that are stated: those of several are no one scale."""
    stated = settings.drop_nulls("epsilon").select("epsilon_delta", "epsilon_guards").unique(maintain_order=True)
    return [(delta, guards) for delta, guards in stated.iter_rows()]


def fronts(settings: pl.DataFrame, trade_offs: TradeOffs, axes: Sequence[str] = ()) -> Figure | None:
    """Return the metric against each cost with the fronts, and one value of the summary against another if asked.

    Parameters
    ----------
    settings : DataFrame
        `run_sets.over_seeds`.
    trade_offs : TradeOffs
    axes : two names of columns, optional
        What is drawn to the right, and upwards.
    """
    metric = trade_offs.metric
    known = settings.drop_nulls(metric.name)
    if known.is_empty():
        return None
    costs = costs_of(known)
    drawn = [cost for cost in costs if _differ(known, cost.column)]
    alike = [cost.name.lower() for cost in costs if cost not in drawn]
    best = {cost.name: trade_offs.front(cost.column) for cost in drawn}
    views = [_front(known, trade_offs, cost) for cost in drawn]
    told, missing = _asked(known, metric, *axes) if axes else (None, "")
    if told is not None:
        views = [told, *views]
    if not views:
        return None
    return Figure(
        id="fronts",
        title=f"{measure.heading(metric)} against cost",
        views=tuple(views),
        caption=(
            "One point per setting, the mean over its seeds; the whiskers are 95 % intervals of the mean, where there "
            "are three seeds or more. Filled points lie on the front: no other setting is as good for less, as far as "
            "the seeds tell, each pair by itself. Hollow points are beaten, or not told apart from one that is much "
            "cheaper."
            + (f" All settings are alike in {listed(alike)}." if alike else "")
            + (f" ε is that of the worst seed, {_guarantee(*guarantees(known)[0])}." if EPSILON in drawn else "")
            + (" The ε are of guarantees of several kinds and no one scale." if len(guarantees(known)) > 1 else "")
            + missing
        ),
        alt="Scatter chart of settings. On the front: "
        + "; ".join(f"against {name.lower()} {listed(found, 6)}" for name, found in best.items())
        + ".",
        height=460,
    )


def _differ(settings: pl.DataFrame, column: str) -> bool:
    """Return whether settings differ in a cost: points above each other would be no trade-off."""
    return settings[column].drop_nulls().n_unique() > 1


def _guarantee(delta: float | None, guards: str | None) -> str:
    return f"at δ = {decimal(delta)}, {guards}"


def _asked(settings: pl.DataFrame, metric: Metric, right: str, up: str) -> tuple[View | None, str]:
    """Return one value of the summary against another, and which settings have them not in all of their runs."""
    there = settings.drop_nulls([right, up])
    without = settings.filter(~pl.col("label").is_in(there["label"].to_list()))["label"].to_list()
    missing = f" {listed(without, 6)}: no {right} and {up} in every run, so not drawn as asked." if without else ""
    return (_told(there, metric, right, up) if there.height else None), missing


def _told(settings: pl.DataFrame, metric: Metric, right: str, up: str) -> View:
    """Return one value of the summary against another, without a front: nobody has said which is better."""
    scale = _scale(settings, right)
    upward = Scale(1.0, "") if up == metric.name else _scale(settings, up)
    upright = metric if up == metric.name else Metric("upward", "max", upward.unit)
    # By a name that a metric may have, whatever the number is called.
    ends = [pl.col(f"{up}{end}").truediv(upward.factor).alias(f"{upright.name}{end}") for end in _ENDS]
    placed = _placed(settings.select("label", *(f"{right}{end}" for end in _ENDS), *ends), upright, right)
    title = {} if up == metric.name else {"title": {"text": f"{up} ({upward.unit})" if upward.unit else up}}
    layout = {
        "xaxis": axis(f"{right} ({scale.unit})" if scale.unit else right),
        "yaxis": {**measure.value_axis(upright), **title, "rangemode": "normal"},
        "showlegend": False,
        "annotations": _leads(placed, upright, right, scale, "$text"),
    }
    return View("As asked", [_points("settings", placed, "$blue", "circle", "$text", upright, right, scale)], layout)


def _scale(settings: pl.DataFrame, column: str) -> Scale:
    dimension = _dimension(column)
    return scale_for(settings[f"{column}_max"].to_list(), dimension) if dimension else Scale(1.0, "")


def _dimension(column: str) -> str:
    return next((dimension for suffix, dimension in _SUFFIXES if column.endswith(suffix)), "")


def _front(settings: pl.DataFrame, trade_offs: TradeOffs, cost: Cost) -> View:
    column, metric = cost.column, trade_offs.metric
    settings = settings.drop_nulls(column)
    scale = scale_for(settings[f"{column}_max"].to_list(), cost.dimension) if cost.dimension else Scale(1.0, "")
    front = set(trade_offs.front(column))
    line = settings.filter(pl.col("label").is_in(list(front))).sort(column)
    stairs = {
        "type": "scatter",
        "mode": "lines",
        "x": scale.of(line[column].to_list()),
        "y": line[metric.name].to_list(),
        "line": {"color": "$blue", "width": 2, "shape": "hv"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    on_front = pl.col("label").is_in(list(front))
    # The names of the front find their places first.
    placed = _placed(pl.concat([settings.filter(on_front), settings.filter(~on_front)]), metric, column)
    parts = (
        ("on the front", placed.filter(on_front), "$blue", "circle", "$text"),
        ("off the front", placed.filter(~on_front), "$grey", "circle-open", "$soft"),
    )
    traces = [stairs, *(_points(*part, metric, column, scale) for part in parts if part[1].height)]
    layout = {
        "xaxis": axis(f"{cost.words} ({scale.unit})" if scale.unit else cost.words),
        "yaxis": {**measure.value_axis(metric), "rangemode": "normal"},
        "showlegend": True,
        "annotations": [
            lead
            for _, part, colour, _, ink in parts
            if _are_named(colour, part)
            for lead in _leads(part, metric, column, scale, ink)
        ],
    }
    return View(cost.name, traces, layout)


def _placed(settings: pl.DataFrame, metric: Metric, column: str) -> pl.DataFrame:
    """Return the settings with the place of each one's name, null where there is none left."""
    whiskers = settings.with_columns(
        pl.col(f"{name}_{end}").fill_null(pl.col(name)).alias(f"{name}_{end}")
        for name in (metric.name, column)
        for end in ("low", "high")
    )
    low, high = whiskers[f"{metric.name}_low"].min(), whiskers[f"{metric.name}_high"].max()
    end = settings[f"{column}_max"].max()
    shares = whiskers.select(
        pl.col("label").cast(pl.String),
        (pl.col(column) / (end or 1.0)).alias("x"),
        *(
            ((pl.col(f"{metric.name}{part}") - low) / ((high - low) or 1.0)).alias(f"y{part}")  # type: ignore[operator]  # columns of floats
            for part in ("", "_low", "_high")
        ),
        *((pl.col(f"{column}{part}") / (end or 1.0)).alias(f"x{part}") for part in ("_low", "_high")),
    )
    places = placing.positions([placing.Point(*row) for row in shares.iter_rows()])
    far = [None if place is None or isinstance(place, str) else place for place in places]
    return settings.with_columns(
        pl.Series("place", [placing.beside(place) for place in places], dtype=pl.String),
        pl.Series("dx", [place and place[0] for place in far], dtype=pl.Float64),
        pl.Series("dy", [place and place[1] for place in far], dtype=pl.Float64),
    )


def _leads(rows: pl.DataFrame, metric: Metric, column: str, scale: Scale, ink: str) -> list[dict[str, Any]]:
    """Return the names that stand farther away from their points."""
    return [
        lead
        for row in rows.drop_nulls("dx").iter_rows(named=True)
        for lead in placing.led(
            label(str(row["label"])), row[column] / scale.factor, row[metric.name], (row["dx"], row["dy"]), ink
        )
    ]


def _are_named(colour: str, rows: pl.DataFrame) -> bool:
    """Tell whether points have their names beside them: those of the front, and others if they are not very many."""
    return colour == "$blue" or rows.height <= MOST_LINES


def _points(
    name: str,
    rows: pl.DataFrame,
    colour: str,
    symbol: str,
    ink: str,
    metric: Metric,
    column: str,
    scale: Scale,
) -> dict[str, Any]:
    names = [label(str(text)) for text in rows["label"]]
    return {
        "type": "scatter",
        "mode": "markers+text" if _are_named(colour, rows) else "markers",
        "name": name,
        "x": scale.of(rows[column].to_list()),
        "y": rows[metric.name].to_list(),
        # A name without a place beside its point has a line to it, or is told on hovering only.
        "text": [name if place else "" for name, place in zip(names, rows["place"], strict=True)],
        "textposition": [place or "bottom right" for place in rows["place"]],
        "hovertext": names,
        "textfont": {"color": ink, "size": 12},
        "cliponaxis": False,
        "marker": {"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
        "error_x": _whiskers(rows, column, scale.factor, colour),
        "error_y": _whiskers(rows, metric.name, 1.0, colour),
        "hovertemplate": f"%{{hovertext}}<br>{measure.hover(metric)} for %{{x:.3~g}} {scale.unit}<extra></extra>",
    }


def _whiskers(rows: pl.DataFrame, column: str, factor: float, colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        # A single seed has no interval.
        "array": ((rows[f"{column}_high"] - rows[column]) / factor).fill_null(0.0).to_list(),
        "arrayminus": ((rows[column] - rows[f"{column}_low"]) / factor).fill_null(0.0).to_list(),
        "color": colour,
        "thickness": 1,
        "width": 3,
    }


def curves(found: Mapping[str, Sequence[pl.DataFrame]], metric: Metric) -> Figure | None:
    """Return the mean learning curve of each setting with a band over its seeds; `found` are curves by label."""
    known = {
        name: [curve for curve in (item.drop_nulls(metric.name) for item in several) if curve.height]
        for name, several in found.items()
    }
    known = {name: several for name, several in known.items() if several}
    if not known:
        return None
    shown = dict(list(known.items())[:MOST_LINES])
    left_out = f" Only the first {MOST_LINES} settings are drawn." if len(known) > MOST_LINES else ""
    order = [AXES[2], AXES[3], AXES[1], AXES[0]]
    return Figure(
        id="curves",
        title="On the way there",
        views=tuple(_curves(shown, metric, *choice) for choice in order),
        caption=f"The mean {measure.words(metric)} over the seeds; the band spans them, as far as all seeds of the "
        f"setting went.{left_out}",
        alt=f"Line chart of {plural(len(shown), 'learning curve')}, each a mean over seeds.",
        height=420,
    )


def _curves(
    shown: Mapping[str, Sequence[pl.DataFrame]], metric: Metric, name: str, column: str, dimension: str, words: str
) -> View:
    everything = [value for several in shown.values() for curve in several for value in curve[column].to_list()]
    scale = scale_for(everything, dimension) if dimension else Scale(1.0, "")
    points = min(GRID, MOST_OF_GRID // len(shown))
    traces = [
        trace
        for position, (text, several) in enumerate(shown.items())
        for trace in _mean_and_band(position, text, several, column, scale, metric, points)
    ]
    title = f"{words} ({scale.unit})" if scale.unit else words
    layout = {"xaxis": axis(title), "yaxis": measure.value_axis(metric), "showlegend": True}
    return View(name, traces, layout)


def _mean_and_band(
    position: int, text: str, several: Sequence[pl.DataFrame], column: str, scale: Scale, metric: Metric, points: int
) -> list[dict[str, Any]]:
    start = max(float(curve[column][0]) for curve in several)
    end = max(start, min(float(curve[column][-1]) for curve in several))
    grid = np.linspace(start, end, points if end > start else 1)
    heights = np.stack([np.interp(grid, curve[column].to_numpy(), curve[metric.name].to_numpy()) for curve in several])
    x: list[float | None] = (grid / scale.factor).tolist()
    colour = SERIES[position % len(SERIES)]
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": label(text),
        "legendgroup": str(position),
        "x": x,
        "y": heights.mean(axis=0).tolist(),
        "line": {"color": colour, "width": 2.2, "dash": DASHES[position // len(SERIES) % len(DASHES)]},
        "hovertemplate": f"{measure.hover(metric)}<br>%{{x:.4~g}} {scale.unit}<extra>%{{fullData.name}}</extra>",
    }
    mark = {
        "type": "scatter",
        "mode": "markers",
        "legendgroup": str(position),
        "showlegend": False,
        "x": x[-1:],
        "y": [float(heights.mean(axis=0)[-1])],
        "marker": {"color": colour, "size": 9, "symbol": SYMBOLS[position % len(SYMBOLS)]},
        "hoverinfo": "skip",
    }
    band = {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": str(position),
        "showlegend": False,
        "x": x + x[::-1],
        "y": heights.min(axis=0).tolist() + heights.max(axis=0).tolist()[::-1],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.14,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    return ([band] if len(several) > 1 else []) + [line, mark]
