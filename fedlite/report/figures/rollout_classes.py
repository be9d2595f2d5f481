"""What each class of devices gets: its variant, and what that does to its accuracy and its battery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report.figure import SERIES, Figure, TextTable, View, bars_height, labels
from fedlite.report.figures.rollout_reasons import words
from fedlite.report.figures.rollout_shapes import each_world
from fedlite.report.figures.shapes import axis, rows_axis, stacked
from fedlite.report.rollout_rows import share, told
from fedlite.report.words import NOTHING, count, percent
from fedlite.rollout.states import State

if TYPE_CHECKING:
    from fedlite.report.rollout_data import RolloutData, World

Parts = tuple[list[dict[str, Any]], dict[str, Any]]


def _classes(data: RolloutData) -> list[str]:
    return sorted(data.classes, key=lambda name: (-data.classes[name], name))


def _facts(data: RolloutData, name: str) -> dict[str, Any]:
    return dict(data.summary["plan"]["classes"][name])


def variants(data: RolloutData) -> Figure:
    """Return which variant devices of each class run at the horizon, and how many keep the old model."""
    classes = _classes(data)
    kinds = list(data.worlds[0].told["variants"])
    without = [name for name in classes if _facts(data, name)["variant"] is None]
    return Figure(
        id="variants",
        title="What each device class runs at the end",
        views=tuple(each_world(data, lambda world: _shares(data, world, classes, kinds))),
        caption=(
            "Each class gets one variant, of those that its memory, storage and latency allow. Bars are the share of "
            "the class that runs it at the horizon, median over the rehearsals; the rest keeps the old model."
        ),
        alt=f"Stacked bars of {len(classes)} device classes by variant; {len(without)} of them fit none.",
        table=_variant_table(data, classes),
        height=bars_height(len(classes)),
    )


def _shares(data: RolloutData, world: World, classes: list[str], kinds: list[str]) -> Parts:
    names = labels(classes)
    new = [world.told["coverage"][name]["p50"] for name in classes]
    own = [_facts(data, name)["variant"] for name in classes]
    traces = [
        stacked(kind, names, [x if mine == kind else 0.0 for x, mine in zip(new, own, strict=True)],
                SERIES[i % len(SERIES)])
        for i, kind in enumerate(kinds)
    ]  # fmt: skip
    traces.append(stacked("old model", names, [1.0 - x for x in new], "$faint", pattern="/"))
    for trace in traces:
        trace["hovertemplate"] = f"%{{y}}<br>%{{x:.1%}}<extra>{trace['name'].replace('%{', '% {')}</extra>"
    return traces, {"barmode": "stack", "xaxis": axis("share of the class", tickformat=".0%", range=[0, 1]),
                    "yaxis": rows_axis(names), "showlegend": True}  # fmt: skip


def _variant_table(data: RolloutData, classes: list[str]) -> TextTable:
    rows = []
    for name in classes:
        facts = _facts(data, name)
        given = facts["variant"] or f"none: {words(State(facts['reason']))}"
        runs = (told(world.told["coverage"][name], share).line for world in data.worlds)
        rows.append((name, count(data.classes[name]), given, *runs))
    head = ("Class", "Devices", "Variant", *(world.name for world in data.worlds))
    caption = "Share of each class that runs its variant at the horizon: median (5 to 95 %)"
    return TextTable(caption, head, tuple(rows), frozenset({1, *range(3, len(head))}))


def accuracy(data: RolloutData) -> Figure:
    """Return the accuracy of the old and of the new model on each class, and what the class has at the horizon."""
    classes = _classes(data)
    said = "; ".join(
        f"{world.name}: worst class {percent(world.told['accuracy']['worst']['p50'])}, gap "
        f"{percent(world.told['accuracy']['gap']['p50'])}"
        for world in data.worlds
    )
    return Figure(
        id="accuracy",
        title="Accuracy by device class",
        views=tuple(each_world(data, lambda world: _dots(data, world, classes))),
        caption=(
            "Of the old model, of the new one where it runs, and the mean of the class at the horizon, whatever its "
            f"devices run then (median over the rehearsals). {said}."
        ),
        alt=f"Dots of accuracy for {len(classes)} device classes before and after. {said}.",
        table=_accuracy_table(data, classes),
        height=bars_height(len(classes)),
    )


def _dots(data: RolloutData, world: World, classes: list[str]) -> Parts:
    names, facts = labels(classes), [_facts(data, name) for name in classes]
    old = [one["old"]["accuracy"] for one in facts]
    new = [one["new"].get(world.name, {}).get("accuracy") for one in facts]
    at_end = [world.told["accuracy"]["by_class"][name]["p50"] for name in classes]
    traces = [
        _markers(name, names, values, colour, symbol)
        for name, values, colour, symbol in (
            ("old model", old, "$grey", "circle-open"), ("new model", new, "$blue", "diamond"),
            ("at the horizon", at_end, "$orange", "line-ns-open"),
        )
    ]  # fmt: skip
    return traces, {"xaxis": {"title": {"text": "accuracy"}, "tickformat": ".1~%"}, "yaxis": rows_axis(names)}


def _markers(name: str, names: list[str], values: list[Any], colour: str, symbol: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": values, "y": names,
        "marker": {"color": colour, "size": 12, "symbol": symbol, "line": {"color": colour, "width": 2.2}},
        "hovertemplate": f"%{{y}}<br>%{{x:.2%}}<extra>{name}</extra>",
    }  # fmt: skip


def _accuracy_table(data: RolloutData, classes: list[str]) -> TextTable:
    rows = [
        (
            world.name, name, percent(_facts(data, name)["old"]["accuracy"]),
            percent(_facts(data, name)["new"].get(world.name, {}).get("accuracy")),
            told(world.told["accuracy"]["by_class"][name], share).line,
        )
        for world in data.worlds
        for name in classes
    ]  # fmt: skip
    for world in data.worlds:
        for key, title in (("worst", "worst class"), ("gap", "gap between best and worst")):
            rows.append((world.name, title, NOTHING, NOTHING, told(world.told["accuracy"][key], share).line))
    head = ("World", "Class", "Old model", "New model", "At the horizon")
    return TextTable("Accuracy: median (5 to 95 %)", head, tuple(rows), frozenset({2, 3, 4}))


def battery(data: RolloutData) -> Figure | None:
    """Return the share of its battery that inference takes from a device in a day; None where none has a battery."""
    classes = [name for name in _classes(data) if _facts(data, name)["old"]["battery_per_day"] is not None]
    if not classes:
        return None
    most = max(_facts(data, name)["old"]["battery_per_day"] for name in classes)
    return Figure(
        id="battery-per-day",
        title="Battery per day",
        views=_battery_views(data, classes),
        caption=(
            "Share of a full charge that the day's inferences take, with the old model and with the new one, on "
            "classes that have a battery and a variant. All devices of a class are taken to infer equally often; the "
            "download comes once and is told with the joules."
        ),
        alt=f"Bars of {len(classes)} device classes; most with the old model: {percent(most, 2)} of a charge per day.",
        table=_battery_table(data, classes),
        height=bars_height(len(classes), per_row=36),
    )


def _per_day(data: RolloutData, name: str, world: World) -> float | None:
    found = _facts(data, name)["new"].get(world.name, {}).get("battery_per_day")
    return None if found is None else float(found)


def _battery_views(data: RolloutData, classes: list[str]) -> tuple[View, ...]:
    """Return a view of each world in which it is not as in the first one."""
    views, seen, names = [], [], labels(classes)
    old = [_facts(data, name)["old"]["battery_per_day"] for name in classes]
    for world in data.worlds:
        new = [_per_day(data, name, world) for name in classes]
        if new in seen:
            continue
        seen.append(new)
        traces = [stacked("old model", names, old, "$faint", pattern="/"), stacked("new model", names, new, "$blue")]
        for trace in traces:
            trace["hovertemplate"] = f"%{{y}}<br>%{{x:.3~%}} per day<extra>{trace['name']}</extra>"
        layout = {"barmode": "group", "xaxis": axis("of a full charge, per day", tickformat=".2~%"),
                  "yaxis": rows_axis(names)}  # fmt: skip
        views.append(View(world.name, traces, layout))
    return tuple(views)


def _battery_table(data: RolloutData, classes: list[str]) -> TextTable:
    rows = tuple(
        (
            name, count(data.classes[name]), percent(_facts(data, name)["old"]["battery_per_day"], 3),
            *(percent(_per_day(data, name, world), 3) for world in data.worlds),
        )
        for name in classes
    )  # fmt: skip
    head = ("Class", "Devices", "Old model", *(world.name for world in data.worlds))
    return TextTable("Charge that inference takes per day", head, rows, frozenset(range(1, len(head))))
