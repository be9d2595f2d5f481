"""Flows from things on the left to things on the right, each as wide as what goes along it, with names at the sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from fedlite.report.paper import traces

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_THICK: Final = 0.03
"""Of a thing, in parts of the width."""
_AIR: Final = 0.015
"""Between a thing and its name."""
_MM_PER_INCH: Final = 25.4


class _Side:
    """The things of one side, from the top down: where each begins and how far its flows reach."""

    def __init__(self, sizes: dict[int, float], scale: float, pad: float) -> None:
        taken = sum(sizes.values()) * scale + pad * (len(sizes) - 1)
        top = 0.5 + taken / 2
        self.ends: dict[int, tuple[float, float]] = {}
        for node, size in sizes.items():
            self.ends[node] = (top, top - size * scale)
            top -= size * scale + pad
        self._reached = {node: end[0] for node, end in self.ends.items()}

    def next(self, node: int, height: float) -> tuple[float, float]:
        """Return where the next flow of a thing begins and ends."""
        top = self._reached[node]
        self._reached[node] = top - height
        return top, top - height


def draw(canvas: Canvas, trace: dict[str, Any], mm_per_pixel: float) -> None:
    """Draw plotly's `sankey` of two columns: `node` has labels, colours and a pad, `link` sources, targets, values."""
    ax, node, link = canvas.add_subplot(), trace["node"], trace["link"]
    flows = list(zip(link["source"], link["target"], link["value"], link["color"], strict=True))
    left, right = (_sizes(link[end], link["value"]) for end in ("source", "target"))
    height_px = canvas.get_figheight() * _MM_PER_INCH / mm_per_pixel
    pad = node["pad"] / height_px
    total = sum(left.values())
    scale = min((1.0 - pad * (len(side) - 1)) / total for side in (left, right)) if total else 0.0
    sides = _Side(left, scale, pad), _Side(right, scale, pad)
    for source, target, value, ink in flows:
        ends = sides[0].next(source, value * scale), sides[1].next(target, value * scale)
        ax.add_patch(PathPatch(_band(*ends), facecolor=traces.colour(ink), linewidth=0))
    for side, x, name_x, anchor in ((sides[0], 0.0, -_AIR, "right"), (sides[1], 1.0 - _THICK, 1.0 + _AIR, "left")):
        for place, (top, bottom) in side.ends.items():
            ink = traces.colour(node["color"][place])
            ax.add_patch(Rectangle((x, bottom), _THICK, top - bottom, facecolor=ink, linewidth=0))
            words = traces.plain(node["label"][place])
            ax.text(name_x, (top + bottom) / 2, words, ha=anchor, va="center", fontsize=6.0)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")


def _sizes(nodes: list[int], values: list[float]) -> dict[int, float]:
    """Return what goes through each thing of a side, in the order of the things."""
    found = dict.fromkeys(sorted(set(nodes)), 0.0)
    for node, value in zip(nodes, values, strict=True):
        found[node] += value
    return found


def _band(begin: tuple[float, float], end: tuple[float, float]) -> Path:
    x0, x1 = _THICK, 1.0 - _THICK
    corners = [
        (x0, begin[0]), (0.5, begin[0]), (0.5, end[0]), (x1, end[0]),
        (x1, end[1]), (0.5, end[1]), (0.5, begin[1]), (x0, begin[1]), (x0, begin[0]),
    ]  # fmt: skip
    curve = [Path.CURVE4] * 3
    return Path(corners, [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])
