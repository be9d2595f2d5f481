"""Coverage over time: who runs the new model when, as a fan of 5, 50 and 95 % of the rehearsals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.report.figure import Figure, TextTable, View, label, scale_for
from fedlite.report.figures.rollout_shapes import area, each_world, line, seen, thinned
from fedlite.report.figures.shapes import axis
from fedlite.report.words import count, percent, quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.report.figure import Scale
    from fedlite.report.rollout_data import RolloutData, World

COLUMNS: Final = 3
"""Classes side by side."""
_NARROW_COLUMNS: Final = 2
MOST_CLASSES: Final = 24
"""Of the figure; the table has all."""
_ROW: Final = 160
_LITTLE: Final = 0.005
_BEYOND: Final = 1.3
_LEAST: Final = 24
"""Points of time that are always drawn."""
_TABLE_ROWS: Final = 16
_MOST_TIMES: Final = 81
"""Points of a small chart."""
_MOST_NUMBERS: Final = 6_000
"""Of all small charts in all worlds, so that a page of many stays small."""
_SHARE: Final[dict[str, Any]] = {"tickformat": ".0%", "range": [0, 1.02]}


def of_fleet(data: RolloutData) -> Figure:
    """Return the coverage of the fleet in each world, with the share that the plan had let in."""
    shown = _settled(data)
    scale = scale_for([float(data.times_s[shown - 1])], "time")
    last = ", ".join(f"{world.name} {percent(data.coverage(world)[1, -1])}" for world in data.worlds)
    return Figure(
        id="coverage",
        title="Coverage over time",
        views=(*each_world(data, lambda world: _fan(data, world, scale, shown)), *_compared(data, scale, shown)),
        caption=(
            "Share of the fleet that runs the new model. The line is the median over the rehearsals, the band holds "
            "nine in ten of them; the steps are what the plan had let in by then (median), devices held out aside."
            + _rest(data, shown)
        ),
        alt=f"Line chart over {quantity(data.times_s[-1], 'time')}; share with the new model at its end: {last}.",
        table=_table(data),
        height=380,
    )


def _settled(data: RolloutData) -> int:
    """Return how many points of time are drawn: until little changes any more in any world, and a bit beyond."""
    curves = np.concatenate([data.coverage(world) for world in data.worlds])
    changing = np.abs(curves - curves[:, -1:]).max(axis=0) > _LITTLE
    last = int(np.flatnonzero(changing)[-1]) if changing.any() else 0
    return min(len(data.times_s), max(_LEAST, math.ceil(_BEYOND * (last + 2))))


def _rest(data: RolloutData, shown: int) -> str:
    if shown == len(data.times_s):
        return ""
    return f" Until the horizon, {quantity(data.times_s[-1], 'time')}, nothing changes any more by half a point."


def _compared(data: RolloutData, scale: Scale, shown: int) -> list[View]:
    if len(data.worlds) == 1:
        return []
    x = _times(data, scale)[:shown]
    traces = [line(world.name, x, seen(data.coverage(world)[1, :shown]), i) for i, world in enumerate(data.worlds)]
    return [View("All worlds", traces, _layout(scale))]


def _fan(data: RolloutData, world: World, scale: Scale, shown: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    x, (low, middle, high) = _times(data, scale)[:shown], map(seen, data.coverage(world)[:, :shown])
    steps = {"shape": "hv", "color": "$grey", "width": 1.6, "dash": "dot"}
    traces = [
        area(x, low, high),
        line("let in (median)", x, seen(data.let_in(world)[:shown]), line=steps),
        line("runs the new model (median)", x, middle),
    ]
    return traces, _layout(scale)


def _layout(scale: Scale) -> dict[str, Any]:
    return {
        "xaxis": axis(f"since the rollout began ({scale.unit})"), "yaxis": axis("share of the fleet", **_SHARE),
        "hovermode": "x unified",
    }  # fmt: skip


def _times(data: RolloutData, scale: Scale) -> list[float]:
    return [float(x) for x in data.times_s / scale.factor]


def _table(data: RolloutData) -> TextTable:
    rows = []
    for i in thinned(len(data.times_s), _TABLE_ROWS):
        fans = [data.coverage(world)[:, i] for world in data.worlds]
        rows.append((quantity(data.times_s[i], "time"), *map(_fan_text, fans)))
    head = ("After", *(world.name for world in data.worlds))
    return TextTable("Share with the new model: median (5 to 95 %)", head, tuple(rows), frozenset(range(1, len(head))))


def _fan_text(fan: NDArray[np.float64]) -> str:
    low, middle, high = map(percent, fan)
    return middle if low == high else f"{middle} ({low} to {high})"


def by_class(data: RolloutData) -> Figure | None:
    """Return the same for each class of devices, in small charts of one scale; None for a fleet of one class."""
    classes = sorted(data.classes, key=lambda name: (-data.classes[name], name))
    if len(classes) == 1:
        return None
    shown = classes[:MOST_CLASSES]
    until = _settled(data)
    scale = scale_for([float(data.times_s[until - 1])], "time")
    more = f" The {len(shown)} largest classes are drawn." if len(shown) < len(classes) else ""
    return Figure(
        id="coverage-by-class",
        title="Coverage by device class",
        views=tuple(
            View(world.name, *_charts(data, world, shown, scale, until), _narrow(shown, scale)) for world in data.worlds
        ),
        caption=f"As above, for each class: one that stays low is one that the rollout does not get to.{more}",
        alt=f"{len(shown)} small line charts, one per device class, of the share with the new model over time.",
        table=_class_table(data, classes),
        height=_height(len(shown), COLUMNS),
    )


def _height(classes: int, columns: int) -> int:
    return 60 + _ROW * -(-classes // columns)


def _charts(
    data: RolloutData, world: World, classes: list[str], scale: Scale, until: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    curves = 3 * len(classes)
    places = thinned(until, min(max(_LEAST, _MOST_NUMBERS // (curves * len(data.worlds))), _MOST_TIMES))
    x = (data.times_s[places] / scale.factor).tolist()
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"showlegend": False, "annotations": [], "margin": {"l": 48, "r": 12, "t": 30, "b": 40}}
    for i, name in enumerate(classes):
        low, middle, high = (seen(curve[places]) for curve in data.coverage(world, name))
        axes: dict[str, Any] = {"xaxis": f"x{i + 1}", "yaxis": f"y{i + 1}"}
        hover = f"{_plain(name)}<br>%{{x:.3~g}} {scale.unit}: %{{y:.1%}}<extra></extra>"
        traces += [area(x, low, high, **axes), line(name, x, middle, hovertemplate=hover, **axes)]
        layout |= _axes(i, COLUMNS, len(classes), scale)
        layout["annotations"].append(_heading(i, f"{name} ({count(data.classes[name])})"))
    return traces, layout


def _narrow(classes: list[str], scale: Scale) -> dict[str, Any]:
    """Return what is otherwise on a phone: fewer charts side by side, so that the names above them have room."""
    layout: dict[str, Any] = {"height": _height(len(classes), _NARROW_COLUMNS)}
    for i in range(len(classes)):
        layout |= _axes(i, _NARROW_COLUMNS, len(classes), scale)
    return layout


def _axes(i: int, columns: int, number: int, scale: Scale) -> dict[str, Any]:
    rows = -(-number // columns)
    column, row = i % columns, i // columns
    wide, high = 1.0 / columns, 1.0 / rows
    bottom = i + columns >= number
    own = "" if i == 0 else str(i + 1)
    across = [column * wide + 0.012, (column + 1) * wide - 0.012]
    down = [1.0 - (row + 1) * high + 0.06 / rows, 1.0 - row * high - 0.2 / rows]
    x: dict[str, Any] = {"domain": across, "anchor": f"y{i + 1}", "nticks": 4}
    y: dict[str, Any] = {"domain": down, "anchor": f"x{i + 1}"}
    return {
        f"xaxis{own}": axis(scale.unit if bottom else "", showticklabels=bottom, **x),
        f"yaxis{own}": axis("", showticklabels=column == 0, tickvals=[0, 0.5, 1], **(y | _SHARE)),
    }  # fmt: skip


def _heading(i: int, text: str) -> dict[str, Any]:
    own = "" if i == 0 else str(i + 1)
    return {
        "text": label(text), "xref": f"x{own} domain", "yref": f"y{own} domain", "x": 0, "y": 1.02, "xanchor": "left",
        "yanchor": "bottom", "showarrow": False, "font": {"size": 11.5, "color": "$soft"},
    }  # fmt: skip


def _plain(name: str) -> str:
    # A name must not be read as a placeholder of the hover template.
    return label(name).replace("%{", "% {")


def _class_table(data: RolloutData, classes: list[str]) -> TextTable:
    rows = tuple(
        (name, count(data.classes[name]), *(_fan_text(data.coverage(world, name)[:, -1]) for world in data.worlds))
        for name in classes
    )
    head = ("Class", "Devices", *(world.name for world in data.worlds))
    caption = "Share with the new model at the horizon: median (5 to 95 %)"
    return TextTable(caption, head, rows, frozenset(range(1, len(head))))
