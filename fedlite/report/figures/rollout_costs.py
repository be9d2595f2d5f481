"""What 1,000 inferences cost on a device, beside what they would cost on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedlite.report.figure import Figure, TextTable, View, bars_height, labels
from fedlite.report.figures.shapes import axis, rows_axis, stacked
from fedlite.report.words import NOTHING, count, quantity

if TYPE_CHECKING:
    from fedlite.report.rollout_data import RolloutData


def device_and_server(data: RolloutData) -> Figure | None:
    """Return the joules of both, class by class; None where the plan tells of no server."""
    costs = {name: facts["per_1000"] for name, facts in data.summary["plan"]["classes"].items()}
    if any(cost["cloud"] is None for cost in costs.values()):
        return None
    names = labels(list(costs))
    own = [None if cost["device"] is None else cost["device"]["energy_j"] for cost in costs.values()]
    asking = [cost["cloud"]["energy_j"] for cost in costs.values()]
    cheaper = sum(1 for here, there in zip(own, asking, strict=True) if here is not None and here < there)
    traces = [
        stacked("on the device", names, own, "$blue"),
        stacked("asking the server", names, asking, "$orange"),
    ]
    for trace in traces:
        trace["hovertemplate"] = f"%{{y}}<br>%{{x:.3~s}}J<extra>{trace['name']}</extra>"
    layout = {
        "barmode": "group", "yaxis": rows_axis(names), "showlegend": True,
        "xaxis": axis("joules of the device per 1,000 inferences", type="log", tickformat="~s", ticksuffix="J"),
    }  # fmt: skip
    return Figure(
        id="per-1000",
        title="1,000 inferences, on the device or on a server",
        views=(View("all", traces, layout),),
        caption=(
            "Energy that the device spends: computing, or waking its radio for each answer, sending, and its tail. "
            "All bytes count as sent, on the links of the rollout's first moment. Energy of the server is "
            f"in its price. {_fallback(data)}"
        ),
        alt=(
            f"Bars of joules per 1,000 inferences for {len(costs)} device classes, on the device and on a server; "
            f"the device needs less of its own energy in {cheaper} of them."
        ),
        table=_table(data, costs),
        height=bars_height(len(costs), per_row=36),
    )


def _fallback(data: RolloutData) -> str:
    asked = data.summary["plan"]["server"]
    if asked is None:
        return "Devices that no variant fits keep the old model."
    return (
        f"The {count(asked['devices'])} devices that no variant fits ask the server "
        f"{count(asked['inferences_per_day'])} times a day: {quantity(asked['bytes_per_day'], 'bytes')} and a price of "
        f"{asked['price_per_day']:.4g} a day."
    )


def _table(data: RolloutData, costs: dict[str, dict[str, Any]]) -> TextTable:
    rows = []
    for name, cost in costs.items():
        device, cloud = cost["device"] or {}, cost["cloud"]
        told = [
            NOTHING if value is None else quantity(value, dimension)
            for value, dimension in (
                (device.get("energy_j"), "energy"), (device.get("bytes"), "bytes"),
                (cloud["energy_j"], "energy"), (cloud["bytes"], "bytes"),
            )
        ]  # fmt: skip
        rows.append((name, count(data.classes[name]), *told, f"{cloud['price']:.4g}"))
    head = ("Class", "Devices", "On the device", "Its download, spread", "Asking", "Bytes", "Price")
    return TextTable("1,000 inferences", head, tuple(rows), frozenset(range(1, len(head))))
