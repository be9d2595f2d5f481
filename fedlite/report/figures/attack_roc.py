"""Membership inference on log axes: what it catches where false alarms are rare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report.figure import DASHES, SERIES, Figure, TextTable, View, label
from fedlite.report.figures.shapes import axis

if TYPE_CHECKING:
    from collections.abc import Mapping


def of_membership(told: Mapping[str, Any]) -> Figure:
    """Return the curves of an attack on membership, as `fedlite privacy attack` tells them."""
    least = 1.0 / max(told["others"], 1)
    traces = [
        _line(place, name, curve, least, min(1.0, 1.0 / max(told["members"], 1)))
        for place, (name, curve) in enumerate(told["curves"].items())
    ]
    guess = {
        "type": "scatter",
        "mode": "lines",
        "name": "a guess",
        "x": [least, 1.0],
        "y": [least, 1.0],
        "line": {"color": "$grey", "width": 1.2, "dash": "dot"},
        "hoverinfo": "skip",
    }
    layout = {
        "xaxis": axis("false alarms, of others", log=True),
        "yaxis": axis("members caught", log=True),
        "showlegend": True,
    }
    best, score = max(told["scores"].items(), key=lambda each: each[1]["tpr_at_0.01"])
    return Figure(
        id="membership",
        title="Members caught at a rate of false alarms",
        views=(View("Curves", [*traces, guess], layout),),
        caption=(
            f"{told['members']:,} members and {told['others']:,} others; a rate below {least:.2g} is one without any"
            " false alarm. An attack that is right about a few at hardly any false alarms is a breach, however near"
            " its average is to a guess."
        ),
        alt=f"Line chart on log axes; {best} catches {score['tpr_at_0.01']:.1%} of members at 1 % false alarms.",
        table=_table(told),
        height=420,
    )


def _line(place: int, name: str, curve: Mapping[str, Any], least_x: float, least_y: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        # What has no logarithm is drawn at the edge.
        "x": [max(least_x, value) for value in curve["fpr"]],
        "y": [max(least_y, value) for value in curve["tpr"]],
        "line": {"color": SERIES[place % len(SERIES)], "width": 2.2, "dash": DASHES[place % len(DASHES)]},
        "hovertemplate": "%{y:.3~g} caught<br>%{x:.3~g} false alarms<extra>%{fullData.name}</extra>",
    }


def _table(told: Mapping[str, Any]) -> TextTable:
    rows = tuple(
        (
            name,
            f"{score['tpr_at_0.001']:.1%}",
            f"{score['tpr_at_0.01']:.1%}",
            f"{score['auc']:.3f}",
            f"{score['balanced_accuracy']:.3f}",
        )
        for name, score in told["scores"].items()
    )
    head = ("Attack", "Caught at 0.1 %", "Caught at 1 %", "AUC", "Balanced accuracy")
    return TextTable("Members caught at rates of false alarms", head, rows, frozenset(range(1, len(head))))
