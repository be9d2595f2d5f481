"""The timeline of a rollout: when each step began, and where and by which gate it was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.report.figure import SERIES, Figure, Scale, TextTable, View, bars_height, label, labels, scale_for
from fedlite.report.figures.shapes import axis, marker, rows_axis
from fedlite.report.rollout_data import band
from fedlite.report.words import NOTHING, listed, percent, quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.report.rollout_data import RolloutData, World

    Floats = NDArray[np.float64]

_BEYOND: Final = 1.35
"""The axis ends so far beyond the last thing that happens."""
_HALF: Final = 0.5


@dataclass(frozen=True)
class Step:
    """A step in one world, over R rehearsals."""

    label: str
    began_s: Floats
    """(R,), infinity where it never did."""
    stopped_by: dict[str, float]
    """Gate -> share of all rehearsals that it stopped in this step."""

    @property
    def share(self) -> float:
        """Of the rehearsals in which it began."""
        return float(np.isfinite(self.began_s).mean())


def steps(data: RolloutData, world: World) -> list[Step]:
    """Return the steps of a world: stages of one number are one step, that begins with the first of them."""
    told = data.summary["plan"]["steps"]
    first = [i for i in range(len(told)) if i == 0 or told[i]["number"] != told[i - 1]["number"]]
    begun_s = world.runs["begun_s"][:, first]
    stop_s, tripped = world.runs["stop_s"], world.runs["tripped"].astype(int)
    # The step in which it was stopped: the last one that had begun by then.
    within = np.maximum((begun_s <= stop_s[:, None]).sum(axis=1) - 1, 0)
    gates = list(world.told["tripped"])
    return [
        Step(
            told[i]["label"],
            begun_s[:, place],
            {gate: float(((tripped == number) & (within == place)).mean()) for number, gate in enumerate(gates)},
        )
        for place, i in enumerate(first)
    ]


def by_world(data: RolloutData) -> Figure:
    """Return a bar of steps for each world, and where it was stopped."""
    found = {world.name: steps(data, world) for world in data.worlds}
    horizon_s = float(data.summary["horizon_s"])
    end_s = min(horizon_s, _BEYOND * max(_happens_s(data, found), 1.0))
    scale = scale_for([end_s], "time")
    names = labels([world.name for world in data.worlds])
    traces = _bars(found, names, [_until_s(world, end_s) for world in data.worlds], scale)
    stops = [(name, world) for name, world in zip(names, data.worlds, strict=True) if world.told["p_abort"] > 0]
    if stops:
        traces.append(_stops(stops, scale))
    layout = {
        "barmode": "overlay", "xaxis": axis(f"since the rollout began ({scale.unit})", range=[0, end_s / scale.factor]),
        "yaxis": rows_axis(names), "showlegend": True,
    }  # fmt: skip
    return Figure(
        id="timeline",
        title="Steps and verdicts",
        views=(View("Steps", traces, layout),),
        caption=(
            "When each step began, in the median of the rehearsals; a step that began in fewer than half of them is "
            "left out. A cross is the median time at which gates stopped the rollout; the table says how often."
            + ("" if end_s == horizon_s else f" The last step goes on to the horizon, {quantity(horizon_s, 'time')}.")
        ),
        alt="Timeline of steps. " + "; ".join(_verdict(world) for world in data.worlds) + ".",
        table=_table(found),
        height=bars_height(len(names), per_row=46),
    )


def _happens_s(data: RolloutData, found: dict[str, list[Step]]) -> float:
    """Return when the last thing happens that is drawn."""
    begins = [_median(step.began_s) for steps_ in found.values() for step in steps_]
    stops = [(world.told["detect_time_s"] or {}).get("p50") for world in data.worlds]
    return max(x for x in [*begins, *stops, 0.0] if x is not None and np.isfinite(x))


def _median(values: Floats) -> float:
    return float(band(values)[1])


def _until_s(world: World, end_s: float) -> float:
    """Return until when a world's last step is drawn: its stop, where that is the median's fate."""
    return min(end_s, _median(world.runs["stop_s"]))


def _bars(found: dict[str, list[Step]], names: list[str], until_s: list[float], scale: Scale) -> list[dict[str, Any]]:
    parts: dict[str, list[tuple[str, float, float]]] = {}
    for name, of, end_s in zip(names, found.values(), until_s, strict=True):
        begun = [(step.label, _median(step.began_s)) for step in of if np.isfinite(_median(step.began_s))]
        for (text, begin_s), (_, next_s) in pairwise([*begun, ("", end_s)]):
            parts.setdefault(text, []).append((name, begin_s, max(0.0, next_s - begin_s)))
    return [
        {
            "type": "bar", "orientation": "h", "name": label(text), "y": [name for name, _, _ in part],
            "base": [begin_s / scale.factor for _, begin_s, _ in part],
            "x": [length_s / scale.factor for _, _, length_s in part], "marker": marker(SERIES[i % len(SERIES)]),
            "text": label(text), "textposition": "inside", "insidetextanchor": "middle",
            "insidetextfont": {"color": "$paper"}, "width": 0.55, "opacity": 0.85,
            "hovertemplate": f"%{{y}}<br>from %{{base:.3~g}} {scale.unit}<extra>{label(text)}</extra>",
        }
        for i, (text, part) in enumerate(parts.items())
    ]  # fmt: skip


def _stops(stops: list[tuple[str, World]], scale: Scale) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers+text", "name": "stopped by a gate", "y": [name for name, _ in stops],
        "x": [world.told["detect_time_s"]["p50"] / scale.factor for _, world in stops],
        # Where few were stopped the bars go on, and a name would stand on them.
        "text": [label(_by(world)) if world.told["p_abort"] >= _HALF else "" for _, world in stops],
        "textposition": "middle right", "cliponaxis": False,
        "marker": {"symbol": "x", "size": 13, "color": "$red", "line": {"color": "$paper", "width": 1.5}},
        "textfont": {"color": "$text", "size": 12},
        "hovertemplate": f"%{{y}}: %{{text}}<br>after %{{x:.3~g}} {scale.unit}<extra></extra>",
    }  # fmt: skip


def _by(world: World) -> str:
    gates = [f"{gate} {percent(share, 0)}" for gate, share in world.told["tripped"].items() if share]
    return f"  {listed(gates)}"


def _verdict(world: World) -> str:
    return f"{world.name}: stopped in {percent(world.told['p_abort'], 0)}{_by(world) if world.told['p_abort'] else ''}"


def _table(found: dict[str, list[Step]]) -> TextTable:
    rows = []
    for name, of in found.items():
        for step in of:
            low, middle, high = band(step.began_s)
            stopped = [f"{gate} {percent(share, 0)}" for gate, share in step.stopped_by.items() if share]
            rows.append((
                name, step.label, quantity(middle, "time"),
                NOTHING if low == high else f"{quantity(low, 'time')} to {quantity(high, 'time')}",
                percent(step.share, 0), listed(stopped) or NOTHING,
            ))  # fmt: skip
    head = ("World", "Step", "Began after", "5 to 95 %", "Began in", "Stopped in it by")
    return TextTable("Steps over the rehearsals", head, tuple(rows), frozenset({2, 3, 4}))
