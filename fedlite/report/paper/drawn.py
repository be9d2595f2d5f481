"""One view of a figure on a canvas of matplotlib: its charts, each with axes, traces, lines across, notes; a legend."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any, Final

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import blended_transform_factory

from fedlite.report.figure import LIGHT, resolve
from fedlite.report.markup import finite
from fedlite.report.paper import flows, names, traces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Canvas

    from fedlite.report.figure import View

_DRAWN: Final = {"scatter": traces.scatter, "bar": traces.bars, "box": traces.boxes}
_MM_PER_CHARACTER: Final = 1.4
_MM_PER_KEY: Final = 7.0
"""What a name in the legend takes, and the mark before it."""
MM_PER_PIXEL: Final = 0.17
"""Of a figure on the page: 30 pixels of a row are the 5 mm that a line of 7 points wants with some air."""


def draw(canvas: Canvas, view: View, width_mm: float) -> None:
    """Draw a view."""
    layout = resolve(finite(view.at(width_mm / MM_PER_PIXEL)), LIGHT)
    drawn = [resolve(finite(trace), LIGHT) for trace in view.traces]
    if [trace for trace in drawn if trace["type"] == "sankey"]:
        flows.draw(canvas, drawn[0], MM_PER_PIXEL)
        return
    grid = _Grid(canvas, layout)
    charts = [_Chart(grid.place(number), layout, drawn, number, width_mm) for number in grid.numbers]
    _legend(canvas, charts[0].ax, layout, drawn, width_mm)
    for chart in charts:
        names.place(canvas, chart.ax, [trace for trace in chart.traces if "text" in trace.get("mode", "")])


class _Grid:
    """Where the charts of a view stand: one, or small ones in rows and columns, as their axes' domains say."""

    def __init__(self, canvas: Canvas, layout: dict[str, Any]) -> None:
        self._canvas, self._layout = canvas, layout
        found = [key.removeprefix("xaxis") for key in layout if re.fullmatch(r"xaxis\d*", key)]
        self.numbers = found or [""]
        self._columns = sorted({self._start("x", number) for number in self.numbers})
        self._rows = sorted({self._start("y", number) for number in self.numbers}, reverse=True)
        self._spec = canvas.add_gridspec(len(self._rows), len(self._columns))

    def _start(self, way: str, number: str) -> float:
        return float(self._layout.get(f"{way}axis{number}", {}).get("domain", [0.0])[0])

    def place(self, number: str) -> Axes:
        """Return the axes of a chart."""
        row, column = self._rows.index(self._start("y", number)), self._columns.index(self._start("x", number))
        return self._canvas.add_subplot(self._spec[row, column])


class _Chart:
    """One pair of axes with all that is drawn on it; plotly numbers them "", "2", "3" ..."""

    def __init__(
        self, ax: Axes, layout: dict[str, Any], drawn: list[dict[str, Any]], number: str, width_mm: float
    ) -> None:
        self.ax, self._number = ax, number
        ax.use_sticky_edges = False
        axes = {way: layout.get(f"{way}axis{number}", {}) for way in ("x", "y")}
        self._places = {way: _Places(axis) for way, axis in axes.items()}
        # plotly calls the first pair x and y, or x1 and y1.
        own = {f"x{number}", *([] if number else ["x1"])}
        self.traces = [trace for trace in drawn if trace.get("xaxis", "x") in own]
        for trace in self.traces:
            for way in ("x", "y"):
                trace[way] = self._places[way].of(trace.get(way))
        # Bars of one chart lie on or beside each other, so they are drawn together.
        rows = traces.Rows(ax, layout, [trace for trace in self.traces if trace["type"] == "bar"])
        for trace in self.traces:
            _DRAWN[trace["type"]](rows, trace)
        for way in ("x", "y"):
            _axis(ax, way, axes[way], self._places[way], width_mm)
        for shape in filter(self._has, layout.get("shapes", [])):
            _line(ax, shape, self._places)
        for note in filter(self._has, layout.get("annotations", [])):
            _note(ax, note, self._places)

    def _has(self, thing: dict[str, Any]) -> bool:
        """Tell whether a line or a note is on this chart; what refers to the paper is on the first."""
        found = re.fullmatch(r"x(\d+)(?: domain)?", str(thing.get("xref", "x")))
        return (found[1] if found else "") == self._number


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
    _ends(ax, way, axis)
    if places.are_names:
        taken_mm = sum(len(name) + 1 for name in places.names) * _MM_PER_CHARACTER
        every = math.ceil(taken_mm / width_mm) if way == "x" else 1
        own.set_ticks(range(0, len(places.names), every), [words(name) for name in places.names[::every]])
        getattr(ax, f"set_{way}lim")(-0.5, len(places.names) - 0.5)
    else:
        _ticks(own, axis)
    if axis.get("autorange") == "reversed":
        own.set_inverted(True)
    if axis.get("showticklabels") is False:
        own.set_tick_params(labelbottom=False, labelleft=False)
    if axis.get("showgrid", not places.are_names):
        ax.grid(axis="x" if way == "x" else "y", color=LIGHT["$grid"])


def _ends(ax: Axes, way: str, axis: dict[str, Any]) -> None:
    """Set where an axis begins and ends; plotly's ends of a logarithmic one are exponents."""
    is_log = axis.get("type") == "log"
    if is_log:
        getattr(ax, f"set_{way}scale")("log")
    if ends := axis.get("range"):
        getattr(ax, f"set_{way}lim")(*([10**end for end in ends] if is_log else ends))
    elif not is_log and axis.get("rangemode") == "tozero":
        least = ax.dataLim.x0 if way == "x" else ax.dataLim.y0
        getattr(ax, f"set_{way}lim")(**{"left" if way == "x" else "bottom": min(0.0, least)})


def _ticks(own: Axis, axis: dict[str, Any]) -> None:
    """Set which numbers stand at an axis of numbers, and how they are written."""
    if "tickvals" in axis:
        own.set_ticks(axis["tickvals"], axis.get("ticktext"))
    elif axis.get("type") == "log":
        own.set_major_locator(LogLocator(numticks=8))
        own.set_minor_formatter(NullFormatter())
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        whole = axis.get("tickformat") == "d"
        own.set_major_locator(MaxNLocator(nbins=axis.get("nticks", 6), integer=whole, steps=[1, 2, 5, 10]))
    if re.fullmatch(r"\.\d~?[%p]", axis.get("tickformat", "")):
        # As many digits as the tick has: one that is rounded would stand in the wrong place.
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.6g}%"))


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
    if note.get("showarrow"):
        return  # the name of a point, for which there is another place here
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
    return not re.fullmatch(rf"{way}\d*", str(thing.get(f"{way}ref", way)))


def _place(thing: dict[str, Any], way: str, key: str, places: dict[str, _Places]) -> Any:
    return thing[key] if _is_of_paper(thing, way) else places[way].one(thing[key])


def _transform(ax: Axes, thing: dict[str, Any]) -> Any:
    across, up = (ax.transAxes if _is_of_paper(thing, way) else ax.transData for way in ("x", "y"))
    return blended_transform_factory(across, up)


def _legend(canvas: Canvas, ax: Axes, layout: dict[str, Any], drawn: list[dict[str, Any]], width_mm: float) -> None:
    handles, told = ax.get_legend_handles_labels()
    shown = layout.get("showlegend", len(drawn) > 1)
    if not shown or not told:
        return
    longest = max(len(name) for name in told) * _MM_PER_CHARACTER + _MM_PER_KEY
    columns = max(1, min(len(told), int(width_mm // longest)))
    canvas.legend(handles, told, loc="outside upper left", ncols=columns, columnspacing=1.2, handlelength=1.6)
