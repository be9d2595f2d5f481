"""One figure of a page: its views as plotly dictionaries, its words, and the same numbers as a table.

Colours are written as tokens ("$blue") and resolved per theme, in the browser or by `Figure.plotly`. The palette is
that of Okabe and Ito 2008, "Color Universal Design", darkened or lightened for contrast on each background.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any, Final

from fedlite.report.markup import Child, finite
from fedlite.units import UNITS, show

LIGHT: Final[dict[str, str]] = {
    "$blue": "#0072b2",
    "$orange": "#d97a00",
    "$green": "#00835f",
    "$red": "#c44e00",
    "$pink": "#b8628f",
    "$sky": "#4ba3d6",
    "$grey": "#7b8490",
    "$faint": "#d5dae0",
    "$text": "#1f2933",
    "$soft": "#52606d",
    "$grid": "#e6e9ed",
    "$blue-band": "rgba(0,114,178,0.16)",
    "$box": "rgba(0,114,178,0.22)",
    "$paper": "#ffffff",
}
DARK: Final[dict[str, str]] = {
    "$blue": "#5cb3ea",
    "$orange": "#f0ab3c",
    "$green": "#3cc79c",
    "$red": "#f28a54",
    "$pink": "#e0a3c4",
    "$sky": "#9bd3f5",
    "$grey": "#98a2ae",
    "$faint": "#46505c",
    "$text": "#e6eaee",
    "$soft": "#a9b4bf",
    "$grid": "#2c343e",
    "$blue-band": "rgba(92,179,234,0.22)",
    "$box": "rgba(92,179,234,0.28)",
    "$paper": "#181d23",
}


def _veiled(theme: dict[str, str]) -> dict[str, str]:
    """Return a see-through colour for every plain one, "$blue-flow" for "$blue": for what lies on other things."""
    parts = {name: [int(code[i : i + 2], 16) for i in (1, 3, 5)] for name, code in theme.items() if code[0] == "#"}
    return {f"{name}-flow": "rgba({},{},{},0.42)".format(*rgb) for name, rgb in parts.items()}


LIGHT.update(_veiled(LIGHT))
DARK.update(_veiled(DARK))
SERIES: Final = ("$blue", "$orange", "$green", "$pink", "$red", "$sky", "$grey")
"""The order in which unrelated series take colours."""
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""A second cue beside the colour."""
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
"""A third."""
MOST_POINTS: Final = 5_000
"""No figure holds more points; larger tables are aggregated first."""
LONGEST_LABEL: Final = 26
NARROW_PX: Final = 520
"""Below it a figure is that of a phone, or of a column on paper; `page.js` has the same number."""


@dataclass(frozen=True)
class TextTable:
    """A table as it is written: every cell is text already. `numeric` columns are set flush right."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Child, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True)
class View:
    """One way to look at a figure: plotly traces and the layout that goes with them."""

    label: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any] = field(default_factory=dict)
    narrow: dict[str, Any] = field(default_factory=dict)
    """What of the layout is otherwise on less than `NARROW_PX`; a `height` there is that of the figure."""

    def at(self, width_px: float) -> dict[str, Any]:
        """Return the layout at a width."""
        return self.layout | (self.narrow if width_px < NARROW_PX else {})


@dataclass(frozen=True)
class Figure:
    """A figure with everything a reader needs who cannot see it: title, caption, description, table."""

    id: str
    title: str
    views: tuple[View, ...]
    caption: str
    alt: str
    table: TextTable | None = None
    height: int = 340

    def spec(self) -> dict[str, Any]:
        """Return what the page's script draws: `{height, views: [{traces, layout, narrow}]}`, free of not-a-numbers.

        Numbers have as many digits as anybody could see.
        """
        views = [{"traces": view.traces, "layout": view.layout, "narrow": view.narrow} for view in self.views]
        return dict(_short(finite({"height": self.height, "views": views})))

    def plotly(self, view: int = 0, *, dark: bool = False) -> Any:
        """Return one view as a `plotly.graph_objects.Figure`, for notebooks."""
        import plotly.graph_objects as go

        theme = DARK if dark else LIGHT
        chosen = self.views[view]
        layout = {
            "height": self.height,
            "title": {"text": label(self.title)},
            "font": {"color": theme["$text"]},
            "paper_bgcolor": theme["$paper"],
            "plot_bgcolor": theme["$paper"],
        }
        return go.Figure(data=resolve(finite(chosen.traces), theme), layout=layout | resolve(chosen.layout, theme))


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list) else value


def resolve(value: Any, theme: dict[str, str]) -> Any:
    """Return a nested value with every colour token replaced by the theme's colour."""
    if isinstance(value, str):
        return theme.get(value, value)
    if isinstance(value, dict):
        return {key: resolve(item, theme) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, theme) for item in value]
    return value


def label(text: str) -> str:
    """Return text for a plotly label: plotly reads a small HTML there, so the text is escaped."""
    return html.escape(text, quote=False)


def labels(texts: list[str]) -> list[str]:
    """Return labels short enough for an axis, escaped, and still distinct where the texts are."""
    seen: dict[str, int] = {}
    written = []
    for text in texts:
        short = text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"
        seen[short] = seen.get(short, 0) + 1
        written.append(label(short if seen[short] == 1 else f"{short} ({seen[short]})"))
    return written


@dataclass(frozen=True)
class Scale:
    """A unit for an axis: values are divided by `factor`."""

    factor: float
    unit: str

    def of(self, values: list[float | None]) -> list[float | None]:
        """Return the values in this unit; gaps stay gaps."""
        return [None if value is None else value / self.factor for value in values]


def scale_for(values: list[float | None], dimension: str) -> Scale:
    """Return the unit in which the largest value reads well: the one `units.show` would choose."""
    finite_values = [abs(value) for value in finite(values) if value]
    unit = show(max(finite_values), dimension).split()[1] if finite_values else show(0.0, dimension).split()[1]
    return Scale(UNITS[dimension][unit], unit)


def wide_range(values: list[float | None], ratio: float = 60.0) -> bool:
    """Return whether the values span so many orders of magnitude that only a logarithmic axis shows them all."""
    found = [value for value in finite(values) if value]
    return bool(found) and min(found) > 0 and max(found) / min(found) > ratio


def bars_height(rows: int, *, per_row: int = 30, frame: int = 120) -> int:
    """Return the height in pixels of a figure with one horizontal bar per row."""
    return max(220, frame + per_row * rows)
