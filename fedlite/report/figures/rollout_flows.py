"""From device classes to what their devices run in the end: a variant, or none and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.report.figure import SERIES, Figure, TextTable, label, labels
from fedlite.report.figures.rollout_reasons import LOOKS, words
from fedlite.report.figures.rollout_shapes import each_world
from fedlite.report.rollout_rows import share, told
from fedlite.report.words import count, percent
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from fedlite.report.rollout_data import RolloutData, World

Flow = tuple[str, str, float]
"""A class, what its devices run or why they do not, and how many: the mean over rehearsals."""

_ROW: Final = 46
_FRAME: Final = 80
_LEAST: Final = 260
_PAD: Final = 20
_MARGIN: Final = {"t": 16, "b": 20}
_EDGE: Final = 0.01
"""From the side at which a thing stands to its middle, in parts of the width; plotly takes no zero."""


def by_size(data: RolloutData) -> list[str]:
    """Return the classes, the largest first."""
    return sorted(data.classes, key=lambda name: (-data.classes[name], name))


def facts_of(data: RolloutData, name: str) -> dict[str, Any]:
    """Return what a class is given, and what that does to it."""
    return dict(data.summary["plan"]["classes"][name])


def variants(data: RolloutData) -> Figure:
    """Return flows from each class to the variant that its devices run, and to the reasons why others do not."""
    classes = by_size(data)
    without = sum(facts_of(data, name)["variant"] is None for name in classes)
    found = {world.name: flows(data, world) for world in data.worlds}
    ends = max(len({end for _, end, _ in of}) for of in found.values())
    height = max(_LEAST, _FRAME + _ROW * max(len(classes), ends))
    return Figure(
        id="variants",
        title="What each device class gets",
        views=tuple(each_world(data, lambda world: _sankey(data, found[world.name], height))),
        caption=(
            "On the left the classes, on the right what their devices run at the horizon or why they do not have the "
            "new model. A flow is as wide as the devices in it, means over the rehearsals. Each class gets one "
            "variant, of those that its memory, storage and latency allow."
        ),
        alt=f"Flows from {len(classes)} device classes to variants; {without} of them fit none. "
        + "; ".join(_said(data, *one) for one in found.items()) + ".",
        table=_table(data, classes),
        height=height,
    )  # fmt: skip


def flows(data: RolloutData, world: World) -> list[Flow]:
    """Return where the devices of each class end up, the largest class first; every device is in one flow."""
    counts = world.runs["states"].mean(axis=0)
    return [
        (name, _end(data, name, state), float(counts[data.position(name), state.code]))
        for name in by_size(data)
        for state in State
        if counts[data.position(name), state.code]
    ]


def _end(data: RolloutData, name: str, state: State) -> str:
    return str(facts_of(data, name)["variant"]) if state is State.UPDATED else words(state)


def _colours(data: RolloutData) -> dict[str, str]:
    reasons = {words(state): LOOKS[state][0] for state in State}
    return reasons | {kind: SERIES[i % len(SERIES)] for i, kind in enumerate(_kinds(data))}


def _kinds(data: RolloutData) -> list[str]:
    return list(data.worlds[0].told["variants"])


def _sankey(data: RolloutData, found: list[Flow], height: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    classes, colours = by_size(data), _colours(data)
    present = {end for _, end, _ in found}
    order = [*_kinds(data), *(words(state) for state in State if state is not State.UPDATED)]
    ends = [end for end in dict.fromkeys(order) if end in present]
    total = {end: sum(devices for _, to, devices in found if to == end) for end in ends}
    names = [f"{short} ({count(data.classes[name])})" for name, short in zip(classes, labels(classes), strict=True)]
    told_ = [f"{label(end)} ({percent(total[end] / data.devices_of())})" for end in ends]
    # Told where to stand, for plotly lays small ones on each other.
    pad = _PAD / (height - sum(_MARGIN.values()))
    sizes = [[float(data.classes[name]) for name in classes], [total[end] for end in ends]]
    scale = min((1.0 - pad * (len(side) - 1)) / sum(side) for side in sizes)
    trace = {
        "type": "sankey", "arrangement": "fixed", "valueformat": ",.0f", "valuesuffix": " devices",
        "node": {
            "label": [*names, *told_], "color": ["$grey"] * len(names) + [colours[end] for end in ends], "pad": _PAD,
            "thickness": 14, "line": {"width": 0}, "hovertemplate": "%{label}<br>%{value}<extra></extra>",
            "x": [_EDGE] * len(names) + [1.0 - _EDGE] * len(ends),
            "y": [middle for side in sizes for middle in _middles(side, scale, pad)],
        },
        "link": {
            "source": [classes.index(name) for name, _, _ in found],
            "target": [len(classes) + ends.index(end) for _, end, _ in found],
            "value": [devices for _, _, devices in found],
            "color": [f"{colours[end]}-flow" for _, end, _ in found],
            "hovertemplate": "%{source.label} to %{target.label}<br>%{value}<extra></extra>",
        },
        "textfont": {"color": "$text", "size": 12.5, "shadow": "auto"},
    }  # fmt: skip
    return [trace], {"margin": {"l": 10, "r": 10, **_MARGIN}}


def _middles(sizes: list[float], scale: float, pad: float) -> list[float]:
    """Return the middles of things under each other, in parts of the height; all of them stand in its middle."""
    top = (1.0 - scale * sum(sizes) - pad * (len(sizes) - 1)) / 2
    return [top + scale * (sum(sizes[:place]) + size / 2) + pad * place for place, size in enumerate(sizes)]


def _said(data: RolloutData, name: str, found: list[Flow]) -> str:
    kinds = set(_kinds(data))
    run = sum(devices for _, end, devices in found if end in kinds)
    return f"In {name} {percent(run / data.devices_of())} run a variant"


def _table(data: RolloutData, classes: list[str]) -> TextTable:
    rows = []
    for name in classes:
        facts = facts_of(data, name)
        given = facts["variant"] or f"none: {words(State(facts['reason']))}"
        runs = (told(world.told["coverage"][name], share).line for world in data.worlds)
        rows.append((name, count(data.classes[name]), given, *runs))
    head = ("Class", "Devices", "Variant", *(world.name for world in data.worlds))
    caption = "Share of each class that runs its variant at the horizon: median (5 to 95 %)"
    return TextTable(caption, head, tuple(rows), frozenset({1, *range(3, len(head))}))
