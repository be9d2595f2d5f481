"""Where the names of points go so that none lies on another or on a point, nor on a whisker if there is room."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AREAS_PX: Final = tuple((width, height) for width in (600, 700, 820, 960) for height in (300, 375))
"""Drawing areas on pages between a tablet's and a wide one: a name is where it is free on all of them."""
CHARACTER_PX: Final = 6.5
LINE_PX: Final = 15
_MARGIN_PX: Final = 30
"""To the right of the last point that a page shows."""
GAP_PX: Final = 7
"""Between a point's middle and its name."""
_STEP_PX: Final = 12
_FARTHEST: Final = 20
"""Steps from a point to its name."""
_DIRECTIONS: Final = 24

Place = str | tuple[float, float]
"""Beside its point, as plotly's `textposition`; or farther away, pixels to the right and up, with a line to it."""


@dataclass(frozen=True)
class Point:
    """A named point and its whiskers, in parts of the axes: 0 is the left or lower end, 1 the other one."""

    name: str
    x: float
    y: float
    low: float
    high: float
    left: float | None = None
    right: float | None = None
    """Ends of the lying whisker, if there is one."""


@dataclass(frozen=True)
class _Box:
    left: float
    right: float
    bottom: float
    top: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )


class _Area:
    """One size of the drawing area, and what is taken there."""

    def __init__(self, size_px: tuple[float, float], points: Sequence[Point]) -> None:
        self.size_px = size_px
        self._taken = [mark(point, size_px) for point in points]
        self._lines: list[_Box] = []
        self._whiskers = [box for point in points for box in whiskers(point, size_px)]

    def is_free(self, point: Point, place: Place, *, tight: bool) -> bool:
        """Tell whether a name covers nothing there, in a tight place but whiskers; the line to it may cross lines."""
        own = box(point, place, self.size_px)
        width, height = self.size_px
        if own.left < 0 or own.right > width + _MARGIN_PX:
            return False
        if not isinstance(place, str) and (own.bottom < 0 or own.top > height):
            return False
        under = [*self._taken, *self._lines, *(() if tight else self._whiskers)]
        lead = line(point, place, self.size_px)
        return not any(own.meets(other) for other in under) and not any(
            part.meets(other) for part in lead for other in self._taken
        )

    def take(self, point: Point, place: Place) -> None:
        """Leave no room there for further names: neither on this one nor on the line to it."""
        self._taken.append(box(point, place, self.size_px))
        self._lines += line(point, place, self.size_px)


def positions(points: Sequence[Point]) -> list[Place | None]:
    """Return the place of each name, those of earlier points chosen first; None where none is left.

    Names of points on the right stand to their left, where there is room.
    """
    areas = [_Area(size_px, points) for size_px in AREAS_PX]
    chosen: list[Place | None] = []
    for point in points:
        found = next(
            (
                one
                for tight in (False, True)
                for one in _places(point)
                if all(area.is_free(point, one, tight=tight) for area in areas)
            ),
            None,
        )
        chosen.append(found)
        if found is not None:
            for area in areas:
                area.take(point, found)
    return chosen


def _places(point: Point) -> Iterator[Place]:
    sides = ("left", "right") if point.x > 1 / 2 else ("right", "left")
    yield from (f"{height} {side}" for side in sides for height in ("bottom", "top"))
    for step in range(2, _FARTHEST):
        for turn in range(_DIRECTIONS):
            angle = 2 * math.pi * turn / _DIRECTIONS
            yield round(step * _STEP_PX * math.cos(angle), 1), round(step * _STEP_PX * math.sin(angle), 1)


def mark(point: Point, size_px: tuple[float, float]) -> _Box:
    """Return what a point itself takes, in pixels from the lower left."""
    x, y = point.x * size_px[0], point.y * size_px[1]
    return _Box(x - GAP_PX + 1, x + GAP_PX - 1, y - GAP_PX + 1, y + GAP_PX - 1)


def whiskers(point: Point, size_px: tuple[float, float]) -> list[_Box]:
    """Return what the whiskers of a point take."""
    x, y = point.x * size_px[0], point.y * size_px[1]
    upright = _Box(x - 2, x + 2, point.low * size_px[1], point.high * size_px[1])
    if point.left is None or point.right is None:
        return [upright]
    return [upright, _Box(point.left * size_px[0], point.right * size_px[0], y - 2, y + 2)]


def box(point: Point, place: Place, size_px: tuple[float, float]) -> _Box:
    """Return what the name of a point takes at a place."""
    x, y, long = point.x * size_px[0], point.y * size_px[1], CHARACTER_PX * len(point.name)
    if isinstance(place, str):
        height, side = place.split()
        dx, dy = (GAP_PX if side == "right" else -GAP_PX), (GAP_PX if height == "top" else -GAP_PX)
        left, bottom = (x + dx if dx > 0 else x + dx - long), (y + dy if dy > 0 else y + dy - LINE_PX)
    else:
        part_x, part_y = (_PARTS[anchor] for anchor in anchors(place))
        left, bottom = x + place[0] - part_x * long, y + place[1] - part_y * LINE_PX
    return _Box(left, left + long, bottom, bottom + LINE_PX)


_PARTS: Final = {"left": 0.0, "center": 0.5, "right": 1.0, "bottom": 0.0, "middle": 0.5, "top": 1.0}


def anchors(place: tuple[float, float]) -> tuple[str, str]:
    """Return by which corner or side of itself a name stands at an offset: that which looks to its point."""
    (dx, dy), near = place, _STEP_PX / 2
    return (
        "center" if abs(dx) < near else "left" if dx > 0 else "right",
        "middle" if abs(dy) < near else "bottom" if dy > 0 else "top",
    )


def beside(place: Place | None) -> str | None:
    """Return plotly's `textposition` of a name beside its point; None for one farther away or without a place."""
    return place if isinstance(place, str) else None


def led(text: str, x: float, y: float, place: Place | None, ink: str) -> list[dict[str, Any]]:
    """Return the annotation of a name that stands farther away from its point at (x, y); nothing for another."""
    if place is None or isinstance(place, str):
        return []
    across, up = anchors(place)
    return [{
        "x": x, "y": y, "text": text, "ax": place[0], "ay": -place[1], "xanchor": across, "yanchor": up,
        "showarrow": True, "arrowhead": 0, "arrowwidth": 0.8, "arrowcolor": "$grey", "standoff": GAP_PX - 1,
        "borderpad": 0, "font": {"color": ink, "size": 12},
    }]  # fmt: skip


def line(point: Point, place: Place, size_px: tuple[float, float]) -> list[_Box]:
    """Return boxes along the line from a point to a name farther away, but for the point's own place."""
    if isinstance(place, str):
        return []
    x, y, (dx, dy) = point.x * size_px[0], point.y * size_px[1], place
    ends = (GAP_PX / math.hypot(dx, dy), 0.95)
    parts = [ends[0] + (ends[1] - ends[0]) * i / _DOTS for i in range(1, _DOTS + 1)]
    return [_Box(x + t * dx - 1, x + t * dx + 1, y + t * dy - 1, y + t * dy + 1) for t in parts]


_DOTS: Final = 12
