"""What the server of a campaign sends at most, over the time of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlite.report import server_load
from fedlite.report.figure import Figure, TextTable, View, scale_for
from fedlite.report.figures.shapes import axis
from fedlite.report.tables import downloads
from fedlite.report.words import decimal, quantity
from fedlite.units import HOUR_S

if TYPE_CHECKING:
    from fedlite.report.run_data import RunData

_BINS = 240
_ROWS = 24


def over_time(run: RunData, lasted_s: float) -> Figure | None:
    """Return the highest rate of downloads in each of equal parts of a run; None if nothing was sent."""
    time_s, rate_bps = server_load.steps(*downloads(run.clients))
    if not len(time_s):
        return None
    start_s = float(run.rounds["start_s"].min())  # type: ignore[arg-type]  # a column of floats
    end_s = max(start_s + lasted_s, float(time_s[-1]))
    most = {
        bins: server_load.most_in(time_s, rate_bps, np.linspace(start_s, end_s, bins + 1)) for bins in (_BINS, _ROWS)
    }
    scale, hours = scale_for(most[_BINS].tolist(), "rate"), (end_s - start_s) / HOUR_S
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": (np.arange(_BINS) * hours / _BINS).tolist(),
        "y": scale.of(most[_BINS].tolist()),
        "line": {"color": "$blue", "width": 1.6, "shape": "hv"},
        "hovertemplate": f"%{{x:.3~g}} h<br>%{{y:.3~g}} {scale.unit}<extra></extra>",
    }
    layout = {"xaxis": axis("hours since the start"), "yaxis": axis(f"most sent ({scale.unit})"), "showlegend": False}
    return Figure(
        id="egress",
        title="Downloads over time",
        views=(View("Rate", [line], layout),),
        caption=f"The highest sum of the rates of all downloads at a time, in each of {_BINS} equal parts of the run.",
        alt=f"Line chart: the server sends at most {quantity(float(rate_bps.max()), 'rate')} at a time.",
        table=TextTable(
            "Most sent at a time",
            ("From hour", "At most"),
            tuple((decimal(i * hours / _ROWS), quantity(rate, "rate")) for i, rate in enumerate(most[_ROWS].tolist())),
            frozenset({0, 1}),
        ),
        height=300,
    )
