"""What the variant of each class of devices does to its accuracy and its battery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.report.figure import Figure, TextTable, View, bars_height, labels, wide_range
from fedlite.report.figures.rollout_flows import by_size, facts_of
from fedlite.report.figures.rollout_shapes import each_world
from fedlite.report.figures.shapes import axis, rows_axis, stacked
from fedlite.report.rollout_rows import share, told
from fedlite.report.words import NOTHING, count, percent

if TYPE_CHECKING:
    from fedlite.report.rollout_data import RolloutData, World

Parts = tuple[list[dict[str, Any]], dict[str, Any]]


def accuracy(data: RolloutData) -> Figure:
    """Return the accuracy of the old and of the new model on each class, and what the class has at the horizon."""
    classes = by_size(data)
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
    names, facts = labels(classes), [facts_of(data, name) for name in classes]
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
            world.name, name, percent(facts_of(data, name)["old"]["accuracy"]),
            percent(facts_of(data, name)["new"].get(world.name, {}).get("accuracy")),
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
    classes = [name for name in by_size(data) if facts_of(data, name)["old"]["battery_per_day"] is not None]
    if not classes:
        return None
    most = max(facts_of(data, name)["old"]["battery_per_day"] for name in classes)
    return Figure(
        id="battery-per-day",
        title="Battery per day",
        views=(*_battery_views(data, classes), *_update_view(data, classes)),
        caption=(
            "Share of a full charge that the day's inferences take, with the old model and with the new one, on "
            "classes that have a battery and a variant. All devices of a class are taken to infer equally often, on "
            "equal batteries, so there is nothing that spreads. The download comes once; it depends on each device's "
            f"links and failures: median and nine in ten of the updated devices, in {data.worlds[0].name}."
        ),
        alt=f"Bars of {len(classes)} device classes; most with the old model: {percent(most, 2)} of a charge per day.",
        table=_battery_table(data, classes),
        height=bars_height(len(classes), per_row=36),
    )


def _per_day(data: RolloutData, name: str, world: World) -> float | None:
    found = facts_of(data, name)["new"].get(world.name, {}).get("battery_per_day")
    return None if found is None else float(found)


def _battery_views(data: RolloutData, classes: list[str]) -> tuple[View, ...]:
    """Return a view of each world in which it is not as in the first one."""
    views, seen, names = [], [], labels(classes)
    old = [facts_of(data, name)["old"]["battery_per_day"] for name in classes]
    for world in data.worlds:
        new = [_per_day(data, name, world) for name in classes]
        if new in seen:
            continue
        seen.append(new)
        traces = [stacked("old model", names, old, "$faint", pattern="/"), stacked("new model", names, new, "$blue")]
        for trace in traces:
            trace["hovertemplate"] = f"%{{y}}<br>%{{x:.3~p}} per day<extra>{trace['name']}</extra>"
        layout = {"barmode": "group", "xaxis": axis("of a full charge, per day", tickformat=".2~p"),
                  "yaxis": rows_axis(names)}  # fmt: skip
        views.append(View(world.name, traces, layout))
    return tuple(views)


def _update_view(data: RolloutData, classes: list[str]) -> list[View]:
    """Return what the download takes once from devices of each class; nothing where nobody of them is updated."""
    found = {name: update_charge(data, data.worlds[0], name) for name in classes}
    spread = {name: one for name, one in found.items() if one is not None}
    if not spread:
        return []
    low, middle, high = zip(*spread.values(), strict=True)
    trace = {
        "type": "scatter", "mode": "markers", "name": "download", "x": list(middle), "y": labels(list(spread)),
        "marker": {"color": "$blue", "size": 10, "symbol": "diamond"},
        "error_x": {"type": "data", "symmetric": False, "array": [b - a for a, b in zip(middle, high, strict=True)],
                    "arrayminus": [b - a for a, b in zip(low, middle, strict=True)], "color": "$blue",
                    "thickness": 2, "width": 5},
        "hovertemplate": "%{y}<br>%{x:.3~p} of a charge, once<extra></extra>",
    }  # fmt: skip
    log = wide_range([*low, *high])
    layout = {
        "xaxis": axis("of a full charge, once", log=log, tickformat=".2~p"),
        "yaxis": rows_axis(labels(list(spread))),
        "showlegend": False,
    }
    return [View("The download, once", [trace], layout)]


def update_charge(data: RolloutData, world: World, name: str) -> tuple[float, float, float] | None:
    """Return 5, 50 and 95 % over the updated devices of a class, medians over rehearsals; None where there are none."""
    values = world.runs["update_charge"][:, data.position(name)]
    known = values[np.isfinite(values).all(axis=1)]
    if not len(known):
        return None
    low, middle, high = np.median(known, axis=0).tolist()
    return low, middle, high


def _battery_table(data: RolloutData, classes: list[str]) -> TextTable:
    rows = tuple(
        (
            name, count(data.classes[name]), percent(facts_of(data, name)["old"]["battery_per_day"], 3),
            *(percent(_per_day(data, name, world), 3) for world in data.worlds), _once(data, name),
        )
        for name in classes
    )  # fmt: skip
    head = ("Class", "Devices", "Old model", *(world.name for world in data.worlds), "The download, once")
    return TextTable(
        "Charge that inference takes per day, and the download once (5 to 95 % of the devices)",
        head,
        rows,
        frozenset(range(1, len(head))),
    )


def _once(data: RolloutData, name: str) -> str:
    found = update_charge(data, data.worlds[0], name)
    if found is None:
        return NOTHING
    low, middle, high = (percent(share_, 3) for share_ in found)
    return f"{middle} ({low} to {high})"
