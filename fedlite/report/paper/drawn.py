"""One view of a figure on a canvas of matplotlib: axes, traces, lines across, notes, legend."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any, Final

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from matplotlib.transforms import blended_transform_factory

from fedlite.report.figure import LIGHT, resolve
from fedlite.report.markup import finite
from fedlite.report.paper import traces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from fedlite.report.figure import View

_DRAWN: Final = {"scatter": traces.scatter, "bar": traces.bars, "box": traces.boxes}
_MM_PER_CHARACTER: Final = 1.4
_MM_PER_KEY: Final = 7.0
"""What a name in the legend takes, and the mark before it."""


def draw(canvas: Canvas, view: View, width_mm: float) -> None:
    """Draw a view."""
    layout = resolve(finite(view.layout), LIGHT)
    ax = canvas.add_subplot()
    ax.use_sticky_edges = False
    places = {way: _Places(layout.get(f"{way}axis", {})) for way in ("x", "y")}
    # Bars of one chart lie on or beside each other, so they are drawn together.
    drawn = [resolve(finite(trace), LIGHT) for trace in view.traces]
    for trace in drawn:
        for way in ("x", "y"):
            trace[way] = places[way].of(trace.get(way))
    rows = traces.Rows(ax, layout, [trace for trace in drawn if trace["type"] == "bar"])
    for trace in drawn:
        _DRAWN[trace["type"]](rows, trace)
    for way in ("x", "y"):
        _axis(ax, way, layout.get(f"{way}axis", {}), places[way], width_mm)
    for shape in layout.get("shapes", []):
        _line(ax, shape, places)
    for note in layout.get("annotations", []):
        _note(ax, note, places)
    _legend(canvas, ax, layout, drawn, width_mm)


class _Places:
    """Where names stand on an axis of names; numbers stand where they are."""

    def __init__(self, axis: dict[str, Any]) -> None:
        self.names: list[str] = list(axis.get("categoryarray", []))
        self._asked = axis.get("type") == "category"

    @property
    def are_names(self) -> bool:
        return bool(self.names)

    def of(self, values: list[Any] | None) -> list[Any]:
        """Return the places of values; new names come last."""
        values = [] if values is None else values
        if not self._asked and not any(isinstance(value, str) for value in values):
            return values
        return [self.one(value) for value in values]

    def one(self, value: Any) -> Any:
        """Return the place of one value."""
        if not isinstance(value, str) and not self._asked:
            return value
        if str(value) not in self.names:
            self.names.append(str(value))
        return self.names.index(str(value))


def words(text: str) -> str:
    """Return what plotly would show of the small HTML in a label."""
    return html.unescape(re.sub(r"<[^>]*>", "", text.replace("<br>", "\n")))


def _axis(ax: Axes, way: str, axis: dict[str, Any], places: _Places, width_mm: float) -> None:
    own = ax.xaxis if way == "x" else ax.yaxis
    own.label.set_text(words(axis.get("title", {}).get("text", "")))
    if axis.get("type") == "log":
        getattr(ax, f"set_{way}scale")("log")
        own.set_major_locator(LogLocator(numticks=8))
        own.set_minor_formatter(NullFormatter())
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    elif axis.get("rangemode") == "tozero":
        least = ax.dataLim.x0 if way == "x" else ax.dataLim.y0
        getattr(ax, f"set_{way}lim")(**{"left" if way == "x" else "bottom": min(0.0, least)})
    if places.are_names:
        taken_mm = sum(len(name) + 1 for name in places.names) * _MM_PER_CHARACTER
        every = math.ceil(taken_mm / width_mm) if way == "x" else 1
        own.set_ticks(range(0, len(places.names), every), [words(name) for name in places.names[::every]])
        getattr(ax, f"set_{way}lim")(-0.5, len(places.names) - 0.5)
    elif axis.get("type") != "log":
        own.set_major_locator(MaxNLocator(nbins=6, integer=axis.get("tickformat") == "d"))
    if share := re.fullmatch(r"\.(\d)%", axis.get("tickformat", "")):
        own.set_major_formatter(PercentFormatter(1.0, decimals=int(share[1])))
    if axis.get("autorange") == "reversed":
        own.set_inverted(True)
    if axis.get("showticklabels") is False:
        own.set_ticklabels([])
    if axis.get("showgrid", not places.are_names):
        ax.grid(axis="x" if way == "x" else "y", color=LIGHT["$grid"])


def _line(ax: Axes, shape: dict[str, Any], places: dict[str, _Places]) -> None:
    line = shape.get("line", {})
    ax.plot(
        [_place(shape, "x", end, places) for end in ("x0", "x1")],
        [_place(shape, "y", end, places) for end in ("y0", "y1")],
        transform=_transform(ax, shape),
        color=traces.colour(line.get("color", "#000000")),
        linewidth=line.get("width", 1) * traces.POINTS_PER_PIXEL,
        linestyle=traces.dash(line.get("dash")),
        zorder=0.9 if shape.get("layer") == "below" else 3,
        scalex=False,
        scaley=False,
    )


def _note(ax: Axes, note: dict[str, Any], places: dict[str, _Places]) -> None:
    ax.text(
        _place(note, "x", "x", places),
        _place(note, "y", "y", places),
        words(note["text"]),
        transform=_transform(ax, note),
        ha={"left": "left", "right": "right"}.get(note.get("xanchor", ""), "center"),
        va={"bottom": "bottom", "top": "top"}.get(note.get("yanchor", ""), "center"),
        color=note.get("font", {}).get("color", LIGHT["$text"]),
        zorder=4,
    )


def _is_of_paper(thing: dict[str, Any], way: str) -> bool:
    """Tell whether a place is a share of the chart, not a value on its axis."""
    return str(thing.get(f"{way}ref", way)) != way


def _place(thing: dict[str, Any], way: str, key: str, places: dict[str, _Places]) -> Any:
    return thing[key] if _is_of_paper(thing, way) else places[way].one(thing[key])


def _transform(ax: Axes, thing: dict[str, Any]) -> Any:
    across, up = (ax.transAxes if _is_of_paper(thing, way) else ax.transData for way in ("x", "y"))
    return blended_transform_factory(across, up)


def _legend(canvas: Canvas, ax: Axes, layout: dict[str, Any], drawn: list[dict[str, Any]], width_mm: float) -> None:
    handles, names = ax.get_legend_handles_labels()
    shown = layout.get("showlegend", len(drawn) > 1)
    if not shown or not names:
        return
    longest = max(len(name) for name in names) * _MM_PER_CHARACTER + _MM_PER_KEY
    columns = max(1, min(len(names), int(width_mm // longest)))
    canvas.legend(handles, names, loc="outside upper left", ncols=columns, columnspacing=1.2, handlelength=1.6)
