"""Names of points, each where there is room: beside its point, or farther away with a line to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.transforms import Bbox

from fedlite.report.figure import LIGHT
from fedlite.report.paper import traces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Annotation

_GAP_POINTS: Final = 0.6
"""Between a mark and its name."""
_SIDES: Final = {"left": -1, "center": 0, "right": 1}
_HEIGHTS: Final = {"top": 1, "middle": 0, "bottom": -1}
_AROUND: Final = ("bottom right", "top right", "bottom left", "top left", "middle right", "middle left", "top center",
                  "bottom center")  # fmt: skip
_STEP_POINTS: Final = 7.0
_STEPS: Final = 14
_DIRECTIONS: Final = 16
_SIZE: Final = 6.0


def place(canvas: Canvas, ax: Axes, named: list[dict[str, Any]]) -> None:
    """Name the points of traces with text, after all else is drawn; no name lies on another, a mark or a whisker.

    A name that is told on a page by hovering alone stands in `hovertext`. Where a chart is full to the last corner, a
    name lies where it covers least.
    """
    if not named:
        return
    canvas.draw_without_rendering()  # what is where is known only then
    room = _Room(canvas, ax, named)
    for trace in named:
        asked = trace.get("textposition", "middle center")
        for i, (x, y) in enumerate(zip(trace["x"], trace["y"], strict=True)):
            text = traces.plain((trace.get("hovertext") or trace["text"])[i])
            if text:
                first = asked if isinstance(asked, str) else asked[i]
                _placed(room, (x, y), text, first, trace)


class _Room:
    """What of a chart is taken: by marks, names and the lines to them, and by whiskers, which those lines may cross."""

    def __init__(self, canvas: Canvas, ax: Axes, named: list[dict[str, Any]]) -> None:
        self.ax, self.pixels_per_point = ax, canvas.dpi / 72
        self._all = ax.get_window_extent()
        self._taken = [box for trace in named for box in _marks(ax, trace, self.pixels_per_point)]
        self._whiskers = [box for trace in named for box in _whiskers(ax, trace)]

    def covered(self, name: Bbox, line: list[Bbox]) -> float:
        """Return how much a name and the line to it would cover, or stand out of the chart."""
        outside = float(name.width * name.height) - _overlap(name, self._all)
        under = sum(_overlap(mine, other) for mine in (name, *line) for other in self._taken)
        return outside + under + sum(_overlap(name, other) for other in self._whiskers)

    def take(self, *boxes: Bbox) -> None:
        """Leave no room there any more."""
        self._taken += boxes


def _placed(room: _Room, at: tuple[float, float], text: str, first: str, trace: dict[str, Any]) -> None:
    """Write a name at the first place that is free, or where it covers least."""
    ax, ink = room.ax, traces.colour(trace.get("textfont", {}).get("color", LIGHT["$text"]))
    name = ax.annotate(
        text, at, (0, 0), textcoords="offset points", color=ink, fontsize=_SIZE, annotation_clip=False, zorder=4
    )
    name.set_in_layout(False)
    size, middle = name.get_window_extent(), ax.transData.transform(at)
    scale = room.pixels_per_point
    best, least = (0.0, 0.0, size, list[Bbox]()), math.inf
    for dx, dy, is_near in _offsets(first, _radius_points(trace) + _GAP_POINTS):
        box = _box(middle, size, dx * scale, dy * scale)
        line = [] if is_near else _line(middle, box)
        if (covered := room.covered(box, line)) < least:
            best, least = (dx, dy, box, line), covered
        if not covered:
            break
    dx, dy, box, line = best
    name.set(position=(dx, dy), ha=_anchor(dx), va=_anchor(dy, upright=True))
    room.take(box, *line)
    if line:
        _lead(ax, name, at)


def _lead(ax: Axes, name: Annotation, at: tuple[float, float]) -> None:
    arrow = {"arrowstyle": "-", "color": LIGHT["$grey"], "linewidth": 0.4, "shrinkA": 0.5, "shrinkB": 2.0}
    ax.annotate(
        "", at, name.get_position(), textcoords="offset points", arrowprops=arrow, annotation_clip=False
    ).set_in_layout(False)


def _offsets(first: str, near: float) -> Iterator[tuple[float, float, bool]]:
    """Yield offsets in points and whether they are beside the point: the one asked for, those around, farther ones."""
    for where in dict.fromkeys((first, *_AROUND)):
        height, side = where.split()
        yield near * _SIDES[side], near * _HEIGHTS[height], True
    for step in range(2, _STEPS):
        for turn in range(_DIRECTIONS):
            angle = 2 * math.pi * turn / _DIRECTIONS
            yield step * _STEP_POINTS * math.cos(angle), step * _STEP_POINTS * math.sin(angle), False


def _anchor(offset: float, *, upright: bool = False) -> str:
    before, after = ("top", "bottom") if upright else ("right", "left")
    return "center" if abs(offset) < 1 else after if offset > 0 else before


def _box(middle: Any, size: Bbox, dx: float, dy: float) -> Bbox:
    """Return the place of a text so large that is anchored at an offset in pixels."""
    left = middle[0] + dx - {"right": size.width, "center": size.width / 2, "left": 0.0}[_anchor(dx)]
    bottom = middle[1] + dy - {"top": size.height, "center": size.height / 2, "bottom": 0.0}[_anchor(dy, upright=True)]
    return Bbox.from_bounds(left, bottom, size.width, size.height)


def _line(middle: Any, box: Bbox) -> list[Bbox]:
    """Return boxes along the line from a point to its name, but for the begin, which is the point's own."""
    end = np.clip(middle, box.min, box.max)
    return [Bbox([middle + part * (end - middle)] * 2).padded(1.0) for part in np.linspace(0.35, 0.95, 9)]


def _marks(ax: Axes, trace: dict[str, Any], pixels_per_point: float) -> Iterator[Bbox]:
    """Yield what the marks of points take."""
    radius = _radius_points(trace) * pixels_per_point
    for at in zip(trace["x"], trace["y"], strict=True):
        yield Bbox([ax.transData.transform(at)] * 2).padded(radius)


def _whiskers(ax: Axes, trace: dict[str, Any]) -> Iterator[Bbox]:
    """Yield what the whiskers of points take."""
    for way, error in ((0, trace.get("error_x")), (1, trace.get("error_y"))):
        for i, at in enumerate(zip(trace["x"], trace["y"], strict=True)):
            if error:
                low, high = list(at), list(at)
                low[way] -= (error.get("arrayminus") or error["array"])[i] or 0.0
                high[way] += error["array"][i] or 0.0
                yield Bbox(ax.transData.transform([low, high])).padded(1.0)


def _radius_points(trace: dict[str, Any]) -> float:
    """Return how far the marks of a trace reach from their middles."""
    marker = trace.get("marker", {})
    edge = marker.get("line", {}).get("width", 0)
    return float((marker.get("size", 6) + edge) * traces.POINTS_PER_PIXEL / 2)


def _overlap(one: Bbox, other: Bbox) -> float:
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, float(wide)) * max(0.0, float(high))
