"""Why devices were not updated: every device of the fleet in exactly one state at the horizon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.report.figure import Figure, TextTable, View, bars_height, labels
from fedlite.report.figures.rollout_shapes import each_world
from fedlite.report.figures.shapes import axis, rows_axis, stacked
from fedlite.report.rollout_data import band
from fedlite.report.rollout_rows import share, told
from fedlite.report.words import capitalised, count, percent
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from fedlite.report.rollout_data import RolloutData, World

LOOKS: Final[dict[State, tuple[str, str]]] = {
    State.UPDATED: ("$green", ""),
    State.ROLLED_BACK: ("$green", "/"),
    State.INSTALL_FAILED: ("$red", ""),
    State.DOWNLOAD_FAILED: ("$red", "/"),
    State.UNDER_WAY: ("$sky", ""),
    State.HELD_OUT: ("$grey", "."),
    State.NOT_REACHED: ("$faint", ""),
    State.STOPPED: ("$grey", "/"),
    State.NO_MEMORY: ("$blue", ""),
    State.NO_STORAGE: ("$blue", "/"),
    State.NO_LATENCY: ("$blue", "x"),
    State.NO_VARIANT: ("$blue", "."),
    State.STORAGE_FULL: ("$sky", "/"),
    State.OPTED_OUT: ("$pink", ""),
    State.POLICY: ("$orange", ""),
    State.OFFLINE: ("$grey", ""),
    State.LEFT: ("$sky", "x"),
    State.LEFT_UPDATED: ("$green", "x"),
}
"""Colour and hatching of each state."""
_USUAL_GAP: Final = 0.2
_WORDS: Final = {State.NO_MEMORY: "too little memory", State.NO_STORAGE: "too little storage",
                 State.NO_LATENCY: "too slow", State.POLICY: "conditions not met", State.HELD_OUT: "control arm",
                 State.LEFT: "left the fleet", State.LEFT_UPDATED: "updated, then left"}  # fmt: skip


def words(state: State) -> str:
    """Return a state in a word or three."""
    return _WORDS.get(state, state.value.replace("_", " "))


def of_worlds(data: RolloutData) -> Figure:
    """Return what became of the devices, stacked: one bar per world, and one per class in views of their own."""
    counts = {world.name: _mean(world) for world in data.worlds}
    there = [state for state in State if any(one[:, state.code].any() for one in counts.values())]
    last = "; ".join(f"{name}: {percent(_share(data, one, State.UPDATED))} updated" for name, one in counts.items())
    return Figure(
        id="reasons",
        title="What became of the devices",
        views=(_compared(data, counts, there), *each_world(data, lambda world: _by_class(data, counts[world.name]))),
        caption=(
            "Every device is in one state at the horizon, so the bars are whole. Shares are means over the rehearsals; "
            "the first view has a bar for each world, the others one for each class in that world; bands are in the "
            "table."
        ),
        alt=f"Stacked bars of devices by state. {last}.",
        table=_table(data, there),
        height=bars_height(max(len(data.worlds), len(data.classes)), frame=170),
    )


def _mean(world: World) -> Any:
    return world.runs["states"].mean(axis=0)


def _share(data: RolloutData, counts: Any, state: State) -> float:
    return float(counts[:, state.code].sum() / data.devices_of())


def _compared(data: RolloutData, counts: dict[str, Any], there: list[State]) -> View:
    names = labels([world.name for world in data.worlds])
    traces = [_part(state, names, [_share(data, one, state) for one in counts.values()]) for state in there]
    return View("By world", traces, _layout(names) | {"bargap": _gap(len(names), len(data.classes))})


def _gap(bars: int, rows: int) -> float:
    """Return the part of a row left free, so that few bars are no thicker than two of those in the other views."""
    return max(_USUAL_GAP, 1.0 - 2.0 * (1.0 - _USUAL_GAP) * bars / rows)


def _by_class(data: RolloutData, counts: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    classes = sorted(data.classes, key=lambda name: (-data.classes[name], name))
    names, places = labels(classes), [data.position(name) for name in classes]
    of = [data.classes[name] for name in classes]
    there = [state for state in State if counts[:, state.code].any()]
    traces = [_part(state, names, [float(counts[i, state.code]) / n for i, n in zip(places, of, strict=True)])
              for state in there]  # fmt: skip
    return traces, _layout(names)


def _part(state: State, names: list[str], shares: list[float | None] | list[float]) -> dict[str, Any]:
    colour, pattern = LOOKS[state]
    trace = stacked(words(state), names, list(shares), colour, pattern=pattern)
    return trace | {"hovertemplate": f"%{{y}}<br>%{{x:.1%}}<extra>{words(state)}</extra>"}


def _layout(names: list[str]) -> dict[str, Any]:
    return {
        "barmode": "stack", "xaxis": axis("share of the devices", tickformat=".0%", range=[0, 1]),
        "yaxis": rows_axis(names), "margin": {"l": 58, "r": 12, "t": 76, "b": 48},
    }  # fmt: skip


def _table(data: RolloutData, there: list[State]) -> TextTable:
    rows = tuple(
        (capitalised(words(state)), *(_told(data, world, state) for world in data.worlds), state.reason)
        for state in there
    )
    head = ("State", *(world.name for world in data.worlds), "What it means")
    caption = f"Share of the {count(data.devices_of())} devices: median over rehearsals (5 to 95 %)"
    return TextTable(caption, head, rows, frozenset(range(1, len(head) - 1)))


def _told(data: RolloutData, world: World, state: State) -> str:
    low, middle, high = band(world.runs["states"].sum(axis=1)[:, state.code] / data.devices_of()).tolist()
    return told({"p5": low, "p50": middle, "p95": high}, share).line
