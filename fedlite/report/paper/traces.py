"""The kinds of traces that figures of runs and studies are made of, drawn as plotly would: points, bars, boxes."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.report.figure import LIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

POINTS_PER_PIXEL: Final = 0.5
"""A page's pixel on paper, where a figure is about half as wide as on a screen."""
_DASHES: Final[dict[str, Any]] = {
    "solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3)), "longdashdot": (0, (8, 3, 1, 3)),
}  # fmt: skip
_SYMBOLS: Final = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "cross": "P", "x": "X", "star": "*",
    "line-ns": "|",
}  # fmt: skip
_STEPS: Final = {"hv": "steps-post", "vh": "steps-pre", "hvh": "steps-mid"}
_HATCHES: Final = {"/": "////", "\\": "\\\\\\\\", "x": "xxxx", ".": "....", "": ""}
_WIDTH: Final = 0.8
"""Of the space of a row, what its bars or its box take together."""


def colour(text: str) -> Any:
    """Return a colour of plotly's as one of matplotlib's."""
    if not text.startswith("rgba("):
        return text
    red, green, blue, alpha = (float(part) for part in text[5:-1].split(","))
    return (red / 255, green / 255, blue / 255, alpha)


def plain(text: Any) -> str:
    """Return a label as it is read: plotly's are a small HTML."""
    return html.unescape(str(text))


def dash(name: str | None) -> Any:
    """Return a kind of line."""
    return _DASHES[name or "solid"]


class Rows:
    """The axes of a chart, and how far the bars of each of its rows reach so far.

    Parameters
    ----------
    ax : Axes
    layout : dict
        `barmode` says whether bars of one row are stacked or beside each other.
    bars : sequence of dict
        The traces of bars, of which each has its lane where they are beside each other.
    """

    def __init__(self, ax: Axes, layout: dict[str, Any], bars: Sequence[dict[str, Any]]) -> None:
        self.ax = ax
        self.is_stacked = layout.get("barmode") == "stack"
        # Bars that say themselves where they begin do not stand beside each other.
        self._lanes = 1 if self.is_stacked or layout.get("barmode") == "overlay" else max(1, len(bars))
        self._space = 1.0 - layout.get("bargap", 1.0 - _WIDTH)
        self._reached: dict[float, float] = {}
        self._next = 0
        self.layers: NDArray[np.float64] | float = 0.0
        """How high the layers of points over each other reach so far."""

    def lane(self, at: list[float]) -> tuple[list[float], float]:
        """Return the middles and the thickness of a trace's bars."""
        steps = np.diff(np.unique(at)) if len(set(at)) > 1 else np.array([1.0])
        width = self._space * float(steps.min()) / self._lanes
        lane, self._next = self._next, self._next + 1
        offset = 0.0 if self._lanes == 1 else (lane - (self._lanes - 1) / 2) * width
        return [place + offset for place in at], width

    def stacked(self, at: list[float], lengths: list[float]) -> list[float]:
        """Return where bars begin, and remember where they end."""
        if not self.is_stacked:
            return [0.0] * len(at)
        begin = [self._reached.get(place, 0.0) for place in at]
        self._reached.update({place: start + more for place, start, more in zip(at, begin, lengths, strict=True)})
        return begin


def scatter(rows: Rows, trace: dict[str, Any]) -> None:
    """Draw points, the line through them, what it encloses, whiskers and names."""
    ax, mode = rows.ax, trace.get("mode", "lines+markers")
    x, y = _numbers(trace["x"]), _numbers(trace["y"])
    line = trace.get("line", {})
    if trace.get("fill") == "toself":
        fill = colour(trace.get("fillcolor", line.get("color", LIGHT["$blue"])))
        ax.fill(x, y, facecolor=fill, alpha=trace.get("opacity"), linewidth=0, zorder=1.5, label=_name(trace))
        return
    if "stackgroup" in trace:
        _layer(rows, x, y, trace)
        return
    if "error_x" in trace or "error_y" in trace:
        _whiskers(ax, x, y, trace)
    dot = trace.get("marker", {})
    symbol = str(dot.get("symbol", "circle"))
    ink = colour(line.get("color") or dot.get("color") or LIGHT["$blue"])
    ax.plot(
        x,
        y,
        color=ink,
        linestyle=dash(line.get("dash")) if "lines" in mode else "none",
        linewidth=line.get("width", 2) * POINTS_PER_PIXEL,
        drawstyle=_STEPS.get(line.get("shape", ""), "default"),
        marker=_SYMBOLS[symbol.removesuffix("-open")] if "markers" in mode else "none",
        markersize=dot.get("size", 6) * POINTS_PER_PIXEL,
        markerfacecolor="none"
        if symbol.endswith("-open")
        else colour(dot.get("color") or line.get("color", "#000000")),
        markeredgecolor=colour(dot.get("line", {}).get("color") or dot.get("color") or line.get("color", "#000000")),
        markeredgewidth=dot.get("line", {}).get("width", 0.8) * POINTS_PER_PIXEL,
        label=_name(trace),
        zorder=2.5,
    )


def _layer(rows: Rows, x: list[float], y: list[float], trace: dict[str, Any]) -> None:
    """Draw what lies on the layers before it."""
    bottom = rows.layers
    rows.layers = bottom + np.nan_to_num(np.asarray(y))
    rows.ax.fill_between(
        x,
        bottom,
        rows.layers,
        step="post" if trace.get("line", {}).get("shape") == "hv" else None,
        facecolor=colour(trace["fillcolor"]),
        hatch=_HATCHES[trace.get("fillpattern", {}).get("shape", "")],
        edgecolor=LIGHT["$paper"],
        linewidth=0.3,
        label=_name(trace),
        zorder=1.5,
    )


def bars(rows: Rows, trace: dict[str, Any]) -> None:
    """Draw bars, upright or lying."""
    lying = trace.get("orientation") == "h"
    at, lengths = (trace["y"], trace["x"]) if lying else (trace["x"], trace["y"])
    length = [0.0 if value is None else float(value) for value in lengths]
    begin = trace.get("base") or rows.stacked(at, length)
    middles, width = rows.lane(at)
    width = trace.get("width", width)
    look = trace.get("marker", {})
    style: dict[str, Any] = {
        "color": colour(look.get("color", LIGHT["$blue"])),
        "hatch": _HATCHES[look.get("pattern", {}).get("shape", "")],
        "edgecolor": LIGHT["$paper"],
        "linewidth": 0.0,
        "alpha": trace.get("opacity"),
        "label": _name(trace),
    }
    if lying:
        rows.ax.barh(middles, length, width, left=begin, **style)
    else:
        rows.ax.bar(middles, length, width, bottom=begin, **style)


def boxes(rows: Rows, trace: dict[str, Any]) -> None:
    """Draw lying boxes from the numbers that they stand for."""
    keys = {"med": "median", "q1": "q1", "q3": "q3", "whislo": "lowerfence", "whishi": "upperfence"}
    known = [i for i, value in enumerate(trace["median"]) if value is not None]
    stats = [{ours: trace[theirs][i] for ours, theirs in keys.items()} | {"fliers": []} for i in known]
    line = {"color": colour(trace.get("line", {}).get("color", LIGHT["$blue"])), "linewidth": 0.8}
    rows.ax.bxp(
        stats,
        positions=[trace["y"][i] for i in known],
        widths=_WIDTH / 2,
        orientation="horizontal",
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": colour(trace.get("fillcolor", "none")), "edgecolor": line["color"], "linewidth": 0.8},
        medianprops=line,
        whiskerprops=line,
        capprops=line,
    )


def _numbers(values: Sequence[Any]) -> list[float]:
    return [np.nan if value is None else float(value) for value in values]


def _name(trace: dict[str, Any]) -> str:
    """Return what a trace is called in the legend; what begins with an underscore is not in it."""
    name = plain(trace.get("name", ""))
    return name if name and trace.get("showlegend", True) else "_"


def _whiskers(ax: Axes, x: list[float], y: list[float], trace: dict[str, Any]) -> None:
    errors = {}
    for way in ("x", "y"):
        if given := trace.get(f"error_{way}"):
            more = _numbers(given["array"])
            less = more if given.get("symmetric", True) else _numbers(given.get("arrayminus", more))
            # Rounding may leave an end a hair on the wrong side of its mean.
            errors[f"{way}err"] = np.maximum(np.nan_to_num([less, more]), 0.0)
    ink = colour((trace.get("error_x") or trace["error_y"]).get("color", LIGHT["$grey"]))
    ax.errorbar(x, y, **errors, fmt="none", ecolor=ink, elinewidth=0.6, capsize=1.5, capthick=0.6, zorder=2)
