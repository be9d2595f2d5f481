"""Scores of canaries that were in and of those that were out: the less they overlap, the less privacy there was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report.figure import MOST_POINTS, Figure, TextTable, View
from fedlite.report.figures.shapes import axis

if TYPE_CHECKING:
    from collections.abc import Mapping


def of_audit(told: Mapping[str, Any]) -> Figure:
    """Return the scores of an audit, as `fedlite privacy audit` tells them."""
    parts = (("in", True, "$orange"), ("out", False, "$blue"))
    traces = [
        {
            "type": "box",
            "name": name,
            "x": [each["score"] for each in told["scores"][:MOST_POINTS] if each["included"] is own],
            "boxpoints": "all",
            "jitter": 0.6,
            "pointpos": 0,
            "marker": {"color": colour, "size": 4},
            "line": {"color": colour},
            "fillcolor": "rgba(0,0,0,0)",
            "hovertemplate": "%{x:.3~g}<extra>%{fullData.name}</extra>",
        }
        for name, own, colour in parts
    ]
    rows = tuple((one["bound"], f"{one['epsilon']:.3f}", one["rests_on"]) for one in told["bounds"])
    return Figure(
        id="canaries",
        title="Scores of canaries",
        views=(View("Scores", traces, {"xaxis": axis("score, in what a canary moves"), "showlegend": False}),),
        caption=(
            f"{told['included']} canaries were in, {told['canaries'] - told['included']} out; the deviation within"
            f" either is {told['deviation']:.3g}."
        ),
        alt=f"Box plot; included canaries score {told['mean_included']:.2f} in the mean, excluded"
        f" {told['mean_excluded']:.2f}.",
        table=TextTable("Lower bounds on epsilon", ("Bound", "Epsilon", "Rests on"), rows, frozenset({1})),
    )
