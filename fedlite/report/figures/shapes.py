"""The few forms the figures share: rows of boxes, rows of stacked bars, axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from fedlite.report.figure import Scale, label, wide_range
from fedlite.report.markup import finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

Numbers = list[float | None]
_QUANTILES: Final = ("q05", "q25", "q50", "q75", "q95")
_ROOM: Final = 0.04
"""Of an axis on each side of what is drawn."""


def axis(title: str, *, log: bool = False, **more: Any) -> dict[str, Any]:
    """Return a value axis that starts at zero, or a logarithmic one."""
    kind = {"type": "log", "dtick": 1} if log else {"rangemode": "tozero"}
    return {"title": {"text": title}, **kind, **more}


def box_axis(title: str, frame: pl.DataFrame, scale: Scale) -> dict[str, Any]:
    """Return the axis of boxes, logarithmic where they span very much; those down to zero then begin at its end.

    `frame` is a `tables.spread`.
    """
    ends = [*frame["q05"].to_list(), *frame["q95"].to_list()]
    if not wide_range(ends):
        return axis(title)
    # Told: with zeros among the numbers plotly finds an end of its own, beyond which whole boxes lie.
    values = [value for name in _QUANTILES for value in finite(frame[name].to_list()) if value]
    known = [math.log10(value / scale.factor) for value in values]
    room = _ROOM * (max(known) - min(known))
    return axis(title, log=True, range=[min(known) - room, max(known) + room])


def rows_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return a category axis that reads from the top."""
    order = list(names)
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": order,
        "autorange": "reversed",
        "automargin": True,
    }


def boxes(
    frame: pl.DataFrame, names: Sequence[str], scale: Scale, *, name: str = "", colour: str = "$blue"
) -> dict[str, Any]:
    """Return one row of box per class: middle half, median, whiskers at 5 % and 95 %. `frame` is a `tables.spread`."""
    trace = {
        "type": "box",
        "orientation": "h",
        "name": label(name),
        "y": list(names),
        "q1": scale.of(frame["q25"].to_list()),
        "median": scale.of(frame["q50"].to_list()),
        "q3": scale.of(frame["q75"].to_list()),
        "lowerfence": scale.of(frame["q05"].to_list()),
        "upperfence": scale.of(frame["q95"].to_list()),
        "boxpoints": False,
        "whiskerwidth": 0.4,
        "line": {"color": colour, "width": 1.6},
    }
    return trace | ({"fillcolor": "$box"} if colour == "$blue" else {})


def stacked(
    name: str, names: Sequence[str], values: Numbers, colour: str, *, unit: str = "", pattern: str = ""
) -> dict[str, Any]:
    """Return one part of stacked horizontal bars."""
    suffix = f" {unit}" if unit else ""
    return {
        "type": "bar",
        "orientation": "h",
        "name": label(name),
        "y": list(names),
        "x": values,
        "marker": marker(colour, pattern),
        "hovertemplate": f"%{{y}}<br>%{{x:.3~g}}{label(suffix)}<extra>{_plain(name)}</extra>",
    }


def marker(colour: str, pattern: str = "") -> dict[str, Any]:
    """Return a bar's fill; the hatching is a second cue beside the colour."""
    return {
        "color": colour,
        "pattern": {"shape": pattern, "size": 6, "solidity": 0.2, "fillmode": "overlay", "fgcolor": "$paper"},
    }


def _plain(name: str) -> str:
    # A name must not be read as a placeholder of the hover template.
    return label(name).replace("%{", "% {")
