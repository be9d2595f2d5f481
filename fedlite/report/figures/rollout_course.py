"""Why devices are not updated yet, over time: the fleet in layers, every device in one of them at each moment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.report.figure import MOST_POINTS, Figure, TextTable, scale_for
from fedlite.report.figures.rollout_reasons import LOOKS, words
from fedlite.report.figures.rollout_shapes import each_world, seen, thinned
from fedlite.report.figures.shapes import axis
from fedlite.report.words import capitalised, percent, quantity
from fedlite.rollout.course import NOT_ASKED, STANDS, WAITING
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.report.figure import Scale
    from fedlite.report.rollout_data import RolloutData, World

    Floats = NDArray[np.float64]

_FIRST: Final = (
    *(State.UPDATED.value, State.ROLLED_BACK.value, State.INSTALL_FAILED.value, State.DOWNLOAD_FAILED.value),
    *(State.UNDER_WAY.value, WAITING, NOT_ASKED, State.NOT_REACHED.value, State.STOPPED.value),
)
"""Layers from the bottom, in the order of a device's way; then those that no time helps."""
ORDER: Final = (*_FIRST, *(stand for stand in STANDS if stand not in _FIRST))
_OWN: Final = {WAITING: ("$orange", ".", "waits for its conditions"), NOT_ASKED: ("$grey", "\\", "has not asked yet"),
               State.NOT_REACHED.value: ("$faint", "", "not let in"),
               State.UNDER_WAY.value: ("$sky", "", "downloads, or will try again")}  # fmt: skip
_LITTLE: Final = 0.003
_BEYOND: Final = 1.15
_LEAST: Final = 24
_MOMENTS: Final = 5
"""Columns of the table."""


def over_time(data: RolloutData) -> Figure:
    """Return the mean share of the fleet in each place over time, stacked; one view for each world."""
    layers = {world.name: shares(data, world) for world in data.worlds}
    shown = _settled(layers)
    scale = scale_for([float(data.times_s[shown - 1])], "time")
    rest = quantity(data.times_s[-1], "time")
    return Figure(
        id="course",
        title="Why devices are not updated yet",
        views=tuple(each_world(data, lambda world: _area(data, layers[world.name], scale, shown))),
        caption=(
            "At each moment every device of the fleet is in one layer: it has the new model, or this is why not. "
            "Layers are means over the rehearsals, since medians would not add up to the fleet. A wait that leads to "
            "nothing is named after its end from the begin on."
            + (f" Until the horizon, {rest}, little changes any more." if shown < len(data.times_s) else "")
        ),
        alt="Stacked areas of the fleet over time. " + "; ".join(_said(*layer) for layer in layers.items()) + ".",
        table=_table(data, layers),
        height=440,
    )


def shares(data: RolloutData, world: World) -> Floats:
    """Return the mean share of the fleet in each place, (len(STANDS), T); every column adds up to one."""
    return np.asarray(world.runs["course"].mean(axis=0) / data.devices_of())


def _look(stand: str) -> tuple[str, str, str]:
    return _OWN[stand] if stand in _OWN else (*LOOKS[State(stand)], words(State(stand)))


def _there(layers: Floats) -> list[str]:
    return [stand for stand in ORDER if layers[STANDS.index(stand)].any()]


def _settled(layers: dict[str, Floats]) -> int:
    """Return how many points of time are drawn: until little changes any more in any world, and a bit beyond."""
    found = np.concatenate(list(layers.values()))
    changing = np.flatnonzero(np.abs(found[:, :-1] - found[:, -2:-1]).max(axis=0) > _LITTLE)
    last = int(changing[-1]) if changing.size else 0
    return min(len(found[0]), max(_LEAST, math.ceil(_BEYOND * (last + 2))))


def _area(data: RolloutData, layers: Floats, scale: Scale, shown: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    there = _there(layers)
    places = thinned(shown, MOST_POINTS // len(there))
    x = (data.times_s[places] / scale.factor).tolist()
    traces = [_layer(stand, x, seen(layers[STANDS.index(stand), places])) for stand in there]
    layout = {
        "xaxis": axis(f"since the rollout began ({scale.unit})", range=[0, x[-1]]),
        "yaxis": axis("share of the fleet", tickformat=".0%", range=[0, 1]), "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top", "traceorder": "normal",
                   "font": {"color": "$soft"}},
    }  # fmt: skip
    return traces, layout


def _layer(stand: str, x: list[float], y: list[float]) -> dict[str, Any]:
    colour, pattern, name = _look(stand)
    return {
        "type": "scatter", "mode": "lines", "stackgroup": "fleet", "name": name, "x": x, "y": y, "fillcolor": colour,
        "line": {"width": 0.6, "color": "$paper", "shape": "hv"},
        "fillpattern": {"shape": pattern, "size": 6, "solidity": 0.2, "fillmode": "overlay", "fgcolor": "$paper"},
        "hovertemplate": f"%{{y:.1%}}<extra>{name}</extra>",
    }  # fmt: skip


def _said(name: str, layers: Floats) -> str:
    others = [stand for stand in _there(layers) if stand != State.UPDATED.value]
    most = max(others, key=lambda stand: float(layers[STANDS.index(stand), -1]), default=State.UPDATED.value)
    updated = percent(layers[State.UPDATED.code, -1])
    return f"In {name} {updated} have it at the end; most of the others: {_look(most)[2]}"


def _table(data: RolloutData, layers: dict[str, Floats]) -> TextTable:
    places = thinned(len(data.times_s), _MOMENTS)
    rows = [
        (name, capitalised(_look(stand)[2]), *(percent(of[STANDS.index(stand), place]) for place in places))
        for name, of in layers.items()
        for stand in _there(of)
    ]
    head = ("World", "The device", *(f"after {quantity(data.times_s[place], 'time')}" for place in places))
    return TextTable("Share of the fleet: mean over rehearsals", head, tuple(rows), frozenset(range(2, len(head))))
