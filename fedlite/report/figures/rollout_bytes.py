"""Bytes of a rollout: what was sent over which network, what for, and what differences to the old model saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.report.figure import Figure, TextTable, View, bars_height, labels, scale_for
from fedlite.report.figures.shapes import axis, rows_axis, stacked
from fedlite.report.rollout_rows import told
from fedlite.report.words import quantity

if TYPE_CHECKING:
    from fedlite.report.figure import Scale
    from fedlite.report.rollout_data import RolloutData

Parts = tuple[tuple[str, list[float], str, str], ...]
COLUMNS: Final = (("unmetered", "Unmetered"), ("metered", "Metered"), ("saved", "Saved by differences"),
                  ("rollback", "Of what was sent, for going back"))  # fmt: skip


def by_world(data: RolloutData) -> Figure | None:
    """Return stacked bars of the median bytes of each world; None where nothing was sent."""
    bands = [world.told["bytes"] for world in data.worlds]
    median = {key: [float(one[key]["p50"] or 0.0) for one in bands] for key, _ in COLUMNS}
    sent = [a + b for a, b in zip(median["unmetered"], median["metered"], strict=True)]
    if not any(sent):
        return None
    new = [max(0.0, all_ - back) for all_, back in zip(sent, median["rollback"], strict=True)]
    names, scale = labels([world.name for world in data.worlds]), scale_for([*sent, *median["saved"]], "bytes")
    networks = (("unmetered", median["unmetered"], "$blue", ""), ("metered", median["metered"], "$orange", ""),
                ("saved by differences", median["saved"], "$faint", "/"))  # fmt: skip
    purposes = (("the new model", new, "$green", ""), ("going back", median["rollback"], "$red", "/"))
    most = max(range(len(sent)), key=sent.__getitem__)
    return Figure(
        id="bytes",
        title="Bytes on the air",
        views=(_view("By network", names, networks, scale), _view("What for", names, purposes, scale)),
        caption=(
            "Medians over the rehearsals, failed attempts included. Metered bytes are paid for by the owners; "
            "what differences to the old model saved was not sent."
        ),
        alt=f"Stacked bars of bytes by world; most in {data.worlds[most].name}: {quantity(sent[most], 'bytes')}.",
        table=_table(data),
        height=bars_height(len(names), per_row=40),
    )


def _view(name: str, names: list[str], parts: Parts, scale: Scale) -> View:
    traces = [
        stacked(words, names, scale.of(list(values)), colour, unit=scale.unit, pattern=pattern)
        for words, values, colour, pattern in parts
        if any(values)
    ]
    layout = {"barmode": "stack", "xaxis": axis(f"bytes ({scale.unit})"), "yaxis": rows_axis(names), "showlegend": True}
    return View(name, traces, layout)


def _table(data: RolloutData) -> TextTable:
    rows = tuple(
        (
            world.name,
            *(told(world.told["bytes"][key], lambda value: quantity(value, "bytes")).line for key, _ in COLUMNS),
            told(world.told["server_peak_bps"], lambda value: quantity(value, "rate")).line,
        )
        for world in data.worlds
    )
    head = ("World", *(words for _, words in COLUMNS), "Server at most")
    return TextTable("Bytes by world: median (5 to 95 %)", head, rows, frozenset(range(1, len(head))))
