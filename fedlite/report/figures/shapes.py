"""The few forms the figures share: rows of boxes, rows of stacked bars, axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report.figure import Scale, label

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

Numbers = list[float | None]


def axis(title: str, *, log: bool = False, **more: Any) -> dict[str, Any]:
    """Return a value axis that starts at zero, or a logarithmic one."""
    kind = {"type": "log", "dtick": 1} if log else {"rangemode": "tozero"}
    return {"title": {"text": title}, **kind, **more}


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
