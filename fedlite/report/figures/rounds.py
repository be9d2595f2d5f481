"""Round by round: how many updates arrived, came late or were lost, and how long the round was."""

from __future__ import annotations

from typing import Final

import polars as pl

from fedlite.report import tables
from fedlite.report.figure import Figure, TextTable, View, scale_for
from fedlite.report.figures import participation
from fedlite.report.figures.shapes import axis, marker
from fedlite.report.words import count, quantity

PARTS: Final = tuple(("failed" if name == "lost" else name, *rest) for name, *rest in participation.PARTS)
"""As in the figure of who took part; what is lost there has failed in the table of rounds."""


def over_time(rounds: pl.DataFrame) -> Figure | None:
    """Return jobs by outcome per round and the length of rounds; long runs in bins of equal numbers of rounds."""
    binned = tables.binned_rounds(rounds)
    if binned.is_empty():
        return None
    each = int(binned["last"][0] - binned["first"][0] + 1)
    title = "round" if each == 1 else f"round (bins of {each})"
    x = binned["first"].to_list()
    bars = [
        {
            "type": "bar",
            "name": words,
            "x": x,
            "y": binned[name].to_list(),
            "marker": marker(colour, shape),
        }
        for name, words, colour, shape in PARTS
        if name == "arrived" or binned[name].sum()
    ]
    scale = scale_for(binned["length_s"].to_list(), "time")
    length = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": scale.of(binned["length_s"].to_list()),
        "line": {"color": "$blue", "width": 2, "shape": "hvh"},
        "marker": {"size": 5},
        "hovertemplate": f"round %{{x}}<br>%{{y:.3~g}} {scale.unit}<extra></extra>",
    }
    jobs_layout = {"barmode": "stack", "xaxis": _round_axis(title), "yaxis": axis("jobs"), "hovermode": "x unified"}
    time_layout = {"xaxis": _round_axis(title), "yaxis": axis(f"length of a round ({scale.unit})"), "showlegend": False}
    return Figure(
        id="rounds",
        title="Round by round",
        views=(View("Jobs", bars, jobs_layout), View("Length", [length], time_layout)),
        caption="Jobs asked for in each round and how they ended; and how long a round took in virtual time.",
        alt=_alt(rounds.filter(pl.col("round") > 0)),
        table=_table(tables.thinned(binned, 60)),
        height=320,
    )


def _alt(rounds: pl.DataFrame) -> str:
    ended = ", ".join(f"{count(rounds[name].sum())} {words}" for name, words, _, _ in PARTS)
    return f"Bar chart over {count(rounds.height)} rounds, jobs by how they ended: {ended}."


def _round_axis(title: str) -> dict[str, object]:
    return {"title": {"text": title}, "tickformat": "d", "minallowed": 0}


def _table(binned: pl.DataFrame) -> TextTable:
    rows = tuple(
        (
            count(row["first"]) if row["first"] == row["last"] else f"{count(row['first'])}–{count(row['last'])}",
            count(row["selected"]),
            count(row["arrived"]),
            count(row["late"]),
            count(row["surplus"]),
            count(row["failed"]),
            quantity(row["length_s"], "time"),
        )
        for row in binned.iter_rows(named=True)
    )
    head = ("Round", "Asked", "Arrived", "Late", "Not needed", "Lost", "Length")
    return TextTable("Rounds", head, rows, frozenset(range(1, 7)))
