"""Blast radius: whom a bad model reaches before the stop, as the share of rehearsals in which it is no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.report.figure import Figure, TextTable, View, wide_range
from fedlite.report.figures.rollout_shapes import line, thinned
from fedlite.report.figures.shapes import axis
from fedlite.report.rollout_rows import share, told
from fedlite.report.words import count, percent
from fedlite.units import HOUR_S

if TYPE_CHECKING:
    from fedlite.report.rollout_data import RolloutData, World

VIEWS: Final[tuple[tuple[str, str, float, str, dict[str, Any]], ...]] = (
    ("Devices", "blast_devices", 1.0, "devices that got a bad model before the stop", {}),
    ("Device-hours", "blast_device_s", HOUR_S, "hours that they ran it, all together", {}),
    ("Share of a class", "blast_worst", 1.0, "largest share of a bad class that it reached", {"tickformat": ".1~%"}),
)
_MOST_STEPS: Final = 300


def over_rehearsals(data: RolloutData) -> Figure | None:
    """Return the distribution over rehearsals, one line per bad world; None where no world is bad."""
    bad = [world for world in data.worlds if world.is_bad]
    if not bad:
        return None
    rows = ((world.name, world.told["blast_radius"]["devices"]["p50"]) for world in bad)
    reached = "; ".join(f"{name}: {count(devices)} in the median" for name, devices in rows)
    return Figure(
        id="blast",
        title="Whom a bad model reaches",
        views=tuple(_view(bad, *view) for view in VIEWS),
        caption=(
            "Share of the rehearsals in which a bad model reached no more than so many devices before a gate stopped "
            "it, or by the horizon where none did. Only devices count on which the model is bad."
        ),
        alt=f"Step lines of the share of rehearsals against devices on a bad model. {reached}.",
        table=_table(bad),
        height=360,
    )


def _view(bad: list[World], name: str, key: str, unit: float, words: str, more: dict[str, Any]) -> View:
    values = [np.sort(world.runs[key]) / unit for world in bad]
    log = not more and wide_range(np.concatenate(values).tolist())
    traces = [
        line(world.name, *_steps(found, log=log), i, line={"shape": "hv"})
        for i, (world, found) in enumerate(zip(bad, values, strict=True))
    ]
    layout = {
        "xaxis": axis(words, log=log, **more),
        "yaxis": axis("share of the rehearsals", tickformat=".0%", range=[0, 1.02]),
        "showlegend": True,
    }
    return View(name, traces, layout)


def _steps(found: np.ndarray[Any, Any], *, log: bool) -> tuple[list[float], list[float]]:
    """Return the steps of a distribution function, from its foot on."""
    places = thinned(len(found), _MOST_STEPS)
    x, y = found[places].tolist(), [(place + 1) / len(found) for place in places]
    return [x[0] if log else min(0.0, x[0]), x[0], *x], [0.0, 0.0, *y]


def _table(bad: list[World]) -> TextTable:
    rows = tuple(
        (
            world.name,
            told(world.told["blast_radius"]["devices"], count).line,
            told(world.told["blast_radius"]["device_hours"], count).line,
            told(world.told["blast_radius"]["worst_class"], share).line,
            percent(world.told["p_detect"]),
        )
        for world in bad
    )
    head = ("World", "Devices", "Device-hours", "Largest share of a class", "Stopped in")
    return TextTable("Before the stop: median (5 to 95 %)", head, rows, frozenset(range(1, 5)))
