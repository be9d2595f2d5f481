"""What gates see: power against effect, one line for each wave, before anything is rehearsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report.figure import DASHES, SERIES, Figure, TextTable, View
from fedlite.report.figures.rollout_shapes import line
from fedlite.report.figures.shapes import axis
from fedlite.report.words import NOTHING, count, percent

if TYPE_CHECKING:
    from fedlite.report.rollout_data import RolloutData

    Row = dict[str, Any]


def operating_curves(data: RolloutData) -> Figure | None:
    """Return one view per gate; None where nothing is known of any gate's metric in advance."""
    curves: dict[str, list[Row]] = {}
    for curve in data.summary["curves"]:
        curves.setdefault(curve["name"], []).append(curve)
    if not curves:
        return None
    told = {(row["name"], row["wave"], row["of"]): row for row in data.summary["gates"]}
    seen = "; ".join(f"{name} sees its effect in {_span(data, name)} of cases" for name in curves)
    return Figure(
        id="gates",
        title="What the gates see",
        views=tuple(View(name, *_view(rows, told)) for name, rows in curves.items()),
        caption=(
            "Chance that a gate trips in a wave whose devices have this failure rate or mean; the vertical line is the "
            "effect the plan asks for, and in brackets are the reports that have come in from a good build before the "
            "next wave. Colours are waves; broken lines are the smallest class, where each "
            "class is judged apart. The left end is the chance of a false alarm."
        ),
        alt=f"Line chart of power against effect, one line per wave: {seen}.",
        table=table(data),
        height=430,
    )


def _span(data: RolloutData, name: str) -> str:
    powers = [row["power"] for row in data.summary["gates"] if row["name"] == name and row["power"] is not None]
    return f"{percent(min(powers), 0)} to {percent(max(powers), 0)}"


def _view(rows: list[Row], told: dict[tuple[str, str, str], Row]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    waves = list(dict.fromkeys(row["wave"] for row in rows))
    groups = sorted({row["of"] for row in rows}, key=lambda of: -max(row["n"] for row in rows if row["of"] == of))
    traces = []
    for row in rows:
        wave, group = waves.index(row["wave"]), groups.index(row["of"])
        of = "" if row["of"] == "fleet" else f" {row['of']}"
        name = f"{row['wave']}{of} ({count(row['reports'])})"
        look = {"color": SERIES[wave % len(SERIES)], "dash": DASHES[group % len(DASHES)]}
        traces.append(line(name, row["effects"], row["power"], line=look))
    first = rows[0]
    effect = told[first["name"], first["wave"], first["of"]]["effect"]
    marked = {
        "type": "line", "x0": effect, "x1": effect, "yref": "paper", "y0": 0, "y1": 1,
        "line": {"color": "$grey", "width": 1.5, "dash": "dot"},
    }  # fmt: skip
    note = {
        "text": "the plan's effect", "x": effect, "y": 1.0, "yref": "paper", "showarrow": False, "xanchor": "left",
        "yanchor": "bottom", "font": {"size": 11.5, "color": "$soft"},
    }  # fmt: skip
    rising = first["effects"][-1] >= first["effects"][0]
    values = [x for row in rows for x in row["effects"]]
    shown = [min(values), max(values)]
    layout = {
        "xaxis": {"title": {"text": "failure rate or mean of affected devices"},
                  "tickformat": ".1~%", "range": shown if rising else shown[::-1]},
        "yaxis": axis("chance that the gate trips", tickformat=".0%", range=[0, 1.02]),
        "shapes": [marked], "annotations": [note],
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top",
                   "font": {"color": "$soft"}},
    }  # fmt: skip
    return traces, layout


def reports(row: Row) -> str:
    """Return how many reports of each arm have come in."""
    return count(row["reports"]) + ("" if row["control"] is None else f" + {count(row['control'])}")


def table(data: RolloutData) -> TextTable | None:
    """Return what each gate sees of each wave; None for a plan without gates."""
    if not data.summary["gates"]:
        return None
    rows = tuple(
        (
            row["name"], row["wave"], row["of"], count(row["n"]),
            NOTHING if row["power"] is None else reports(row), percent(row["effect"]),
            NOTHING if row["power"] is None else percent(row["power"], 0), percent(row["mde"]),
            NOTHING if row["needed"] is None else count(row["needed"]),
        )
        for row in data.summary["gates"]
    )  # fmt: skip
    head = (
        "Gate",
        "Wave",
        "Of",
        "Devices",
        "Reports",
        "Effect",
        "Seen with",
        "Least seen in 4 of 5",
        "Reports it needs",
    )
    return TextTable("What gates see, wave by wave, before anything is rehearsed", head, rows, frozenset(range(3, 9)))
