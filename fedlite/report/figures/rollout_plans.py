"""Rollout plans against each other: how fast against how dangerous, as large as they are dear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fedlite.report.figure import Figure, View, label, scale_for
from fedlite.report.figures import placing
from fedlite.report.figures.shapes import axis
from fedlite.report.words import count, listed, quantity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.report.figure import Scale

Band = dict[str, float | None]

COSTS: Final = (
    ("energy", "Sized by energy", "the energy of downloads"),
    ("bytes", "Sized by paid bytes", "what metered networks carry"),
)
_NEVER: Final = 1.12
"""Where plans stand that never get there, in parts of the latest time that there is."""
_FENCE: Final = 1.06
_END: Final = 1.2
_ROOM: Final = 1.15
_TICKS: Final = 6
_LEAST_PX: Final = 9.0
_MOST_PX: Final = 30.0


@dataclass(frozen=True)
class Plotted:
    """A plan as it is drawn: bands of its time to 95 % and of the devices that a bad model reaches, and its costs.

    A bound of None is never. `costs` are joules and metered bytes by dimension.
    """

    name: str
    unbeaten: bool
    time_s: Band
    blast: Band
    costs: Mapping[str, float]


Placed = tuple[Plotted, placing.Place | None]


def pareto(plans: Sequence[Plotted]) -> Figure:
    """Return time against blast radius, one point per plan; filled ones are beaten by no other in everything."""
    sizes = [cost for cost in COSTS if any(plan.costs[cost[0]] for plan in plans)] or [COSTS[0]]
    best = [plan.name for plan in plans if plan.unbeaten]
    never = [plan.name for plan in plans if plan.time_s["p50"] is None]
    return Figure(
        id="pareto",
        title="How fast and how dangerous each plan is",
        views=tuple(_view(plans, dimension, name) for dimension, name, _ in sizes),
        caption=(
            "Lower and further left is better. Across: time until 95 % of the devices that can be let in have the "
            "model, median and band of 5 to 95 %. Up: devices that a bad model reaches, the 95th percentile by which "
            "plans are ranked, with a whisker down to the 5th. The area of a point is "
            + " or ".join(f"{words}" for *_, words in sizes)
            + ". Filled points are beaten by no other plan in everything, cost included."
            + (" Beyond the dotted line stands what never gets there." if _anything_never(plans) else "")
        ),
        alt=f"Scatter chart of {len(plans)} plans, time to 95 % against devices on a bad model. Not beaten: "
        + listed(best, 6) + (f". Never there: {listed(never, 6)}" if never else "") + ".",
        table=None,
        height=440,
    )  # fmt: skip


def _anything_never(plans: Sequence[Plotted]) -> bool:
    return any(bound is None for plan in plans for bound in plan.time_s.values())


def _latest_s(plans: Sequence[Plotted]) -> float:
    return max((bound for plan in plans for bound in plan.time_s.values() if bound is not None), default=0.0) or 1.0


def _view(plans: Sequence[Plotted], dimension: str, name: str) -> View:
    latest_s = _latest_s(plans)
    scale = scale_for([latest_s], "time")
    dearest = max(plan.costs[dimension] for plan in plans) or 1.0
    placed = list(zip(plans, _places(plans, latest_s), strict=True))
    traces = [
        _points(words, [one for one in placed if one[0].unbeaten == unbeaten], latest_s, scale, dimension, dearest,
                look)
        for words, unbeaten, look in (
            ("not beaten", True, ("$blue", "circle", "$text")), ("beaten", False, ("$grey", "circle-open", "$soft")),
        )
        if any(plan.unbeaten == unbeaten for plan in plans)
    ]  # fmt: skip
    leads = [
        lead
        for plan, place in placed
        for lead in placing.led(
            label(plan.name), _at_s(plan.time_s["p50"], latest_s) / scale.factor, plan.blast["p95"] or 0.0, place,
            "$text" if plan.unbeaten else "$soft",
        )
    ]  # fmt: skip
    x = axis(f"95 % of those that can be let in have it after ({scale.unit})")
    layout = {"xaxis": x,
              "yaxis": axis("devices that a bad model reaches", range=[0, _ROOM * _largest(plans)]),
              "showlegend": True, "annotations": leads}  # fmt: skip
    if _anything_never(plans):
        layout |= _with_never(x, latest_s / scale.factor)
    else:
        layout["xaxis"] = x | {"range": [0, _ROOM * latest_s / scale.factor]}
    return View(name, traces, layout)


def _largest(plans: Sequence[Plotted]) -> float:
    return max((plan.blast["p95"] or 0.0 for plan in plans), default=0.0) or 1.0


def _with_never(x: dict[str, Any], latest: float) -> dict[str, Any]:
    """Return an axis that ends with a place of its own for "never", behind a dotted line."""
    step = 10 ** math.floor(math.log10(latest / _TICKS))
    step *= next(multiple for multiple in (1, 2, 5, 10) if latest / (step * multiple) <= _TICKS)
    ticks = [step * i for i in range(int(latest / step) + 1)]
    fence = {"type": "line", "x0": _FENCE * latest, "x1": _FENCE * latest, "yref": "paper", "y0": 0, "y1": 1,
             "line": {"color": "$grey", "width": 1.5, "dash": "dot"}}  # fmt: skip
    own = {"range": [0, _END * latest], "tickmode": "array", "tickvals": [*ticks, _NEVER * latest],
           "ticktext": [*(f"{tick:.6g}" for tick in ticks), "never"]}  # fmt: skip
    return {"xaxis": x | own, "shapes": [fence]}


def _places(plans: Sequence[Plotted], latest_s: float) -> list[placing.Place | None]:
    """Return where the names go, those of plans that nobody beats chosen first."""
    order = sorted(range(len(plans)), key=lambda i: not plans[i].unbeaten)
    largest = _ROOM * _largest(plans)
    points = [
        placing.Point(
            plans[i].name, _at_s(plans[i].time_s["p50"], latest_s) / (_END * latest_s),
            *((plans[i].blast[key] or 0.0) / largest for key in ("p95", "p5", "p95")),
            *(_at_s(plans[i].time_s[key], latest_s) / (_END * latest_s) for key in ("p5", "p95")),
        )
        for i in order
    ]  # fmt: skip
    found = dict(zip(order, placing.positions(points), strict=True))
    return [found[i] for i in range(len(plans))]


def _at_s(time_s: float | None, latest_s: float) -> float:
    return _NEVER * latest_s if time_s is None else time_s


def _points(name: str, placed: Sequence[Placed], latest_s: float, scale: Scale, dimension: str,
            dearest: float, look: tuple[str, str, str]) -> dict[str, Any]:  # fmt: skip
    colour, symbol, ink = look
    x = [{key: _at_s(bound, latest_s) / scale.factor for key, bound in plan.time_s.items()} for plan, _ in placed]
    y = [{key: bound or 0.0 for key, bound in plan.blast.items()} for plan, _ in placed]
    sizes = [max(_LEAST_PX, _MOST_PX * math.sqrt(plan.costs[dimension] / dearest)) for plan, _ in placed]
    return {
        "type": "scatter", "mode": "markers+text", "name": name, "x": [one["p50"] for one in x],
        "y": [one["p95"] for one in y],
        "text": [label(plan.name) if placing.beside(place) else "" for plan, place in placed],
        "textposition": [placing.beside(place) or "bottom right" for _, place in placed],
        "textfont": {"color": ink, "size": 12},
        "hovertext": [_hover(plan) for plan, _ in placed], "hovertemplate": "%{hovertext}<extra></extra>",
        "cliponaxis": False,
        "marker": {"color": colour, "size": sizes, "symbol": symbol, "opacity": 0.85,
                   "line": {"width": 2, "color": colour}},
        "error_x": _whiskers([one["p95"] - one["p50"] for one in x], [one["p50"] - one["p5"] for one in x]),
        "error_y": _whiskers([0.0 for _ in y], [one["p95"] - one["p5"] for one in y]),
    }  # fmt: skip


def _hover(plan: Plotted) -> str:
    time_s = plan.time_s["p50"]
    after = "never" if time_s is None else f"after {quantity(time_s, 'time')}"
    costs = ", ".join(quantity(plan.costs[dimension], dimension) for dimension, *_ in COSTS)
    return f"{label(plan.name)}<br>95 % {after}<br>{count(plan.blast['p95'])} devices on a bad one<br>{costs}"


def _whiskers(more: list[float], less: list[float]) -> dict[str, Any]:
    return {"type": "data", "symmetric": False, "array": more, "arrayminus": less, "color": "$text", "thickness": 1,
            "width": 3}  # fmt: skip
