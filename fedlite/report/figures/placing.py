"""Where the names of points go so that none lies on another, on a point or on a whisker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH_PX: Final = 600
"""Of the drawing area. On wider pages there is only more room."""
HEIGHT_PX: Final = 300
CHARACTER_PX: Final = 6.5
LINE_PX: Final = 15
_MARGIN_PX: Final = 30
"""To the right of the last point that a page shows."""
GAP_PX: Final = 7
"""Between a point's middle and its name."""


@dataclass(frozen=True)
class Point:
    """A named point and its vertical whisker, in parts of the axes: 0 is the left or lower end, 1 the other one."""

    name: str
    x: float
    y: float
    low: float
    high: float


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


def positions(points: Sequence[Point]) -> list[str | None]:
    """Return plotly's `textposition` of each name, those of earlier points chosen first; None where no place is left.

    Names of points on the right stand to their left, where there is room.
    """
    taken = [box for point in points for box in _marks(point)]
    chosen: list[str | None] = []
    for point in points:
        sides = ("left", "right") if point.x > 1 / 2 else ("right", "left")
        places = {f"{height} {side}": _text(point, height, side) for side in sides for height in ("bottom", "top")}
        inside = {p: box for p, box in places.items() if box.left >= 0 and box.right <= WIDTH_PX + _MARGIN_PX}
        free = (p for p, box in inside.items() if not any(box.meets(other) for other in taken))
        found = next(free, None)
        chosen.append(found)
        if found is not None:
            taken.append(places[found])
    return chosen


def _marks(point: Point) -> list[_Box]:
    """Return what a point itself takes: its marker and its whisker."""
    x, y = point.x * WIDTH_PX, point.y * HEIGHT_PX
    whisker = _Box(x - 2, x + 2, point.low * HEIGHT_PX, point.high * HEIGHT_PX)
    return [_Box(x - GAP_PX + 1, x + GAP_PX - 1, y - GAP_PX + 1, y + GAP_PX - 1), whisker]


def _text(point: Point, height: str, side: str) -> _Box:
    x, y, long = point.x * WIDTH_PX, point.y * HEIGHT_PX, CHARACTER_PX * len(point.name)
    left = x + GAP_PX if side == "right" else x - GAP_PX - long
    bottom = y + GAP_PX if height == "top" else y - GAP_PX - LINE_PX
    return _Box(left, left + long, bottom, bottom + LINE_PX)
