"""The few forms that the figures of a rollout share: lines, bands, one view per world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.report.figure import DASHES, SERIES, View, label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fedlite.report.rollout_data import RolloutData, World

    Floats = NDArray[np.float64]


_DECIMALS: Final = 5
"""A tenth of a pixel where a dozen of them lie on one another in a figure of a thousand."""


def line(name: str, x: Sequence[float], y: Sequence[float | None], number: int = 0, **more: Any) -> dict[str, Any]:
    """Return a line in the colour and with the dashes of a series' number; `more` are properties of the trace."""
    own = {"color": SERIES[number % len(SERIES)], "width": 2.4, "dash": DASHES[number % len(DASHES)]}
    shape = own | more.pop("line", {})
    trace = {"type": "scatter", "mode": "lines", "name": label(name), "x": list(x), "y": list(y), "line": shape}
    return trace | more


def area(x: Sequence[float], low: Sequence[float], high: Sequence[float], **more: Any) -> dict[str, Any]:
    """Return the band between two curves."""
    trace = {
        "type": "scatter", "mode": "lines", "x": [*x, *reversed(x)], "y": [*low, *reversed(high)], "fill": "toself",
        "fillcolor": "$blue-band", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    return trace | more


def seen(shares: Floats) -> list[float]:
    """Return shares with the decimals that can be seen where the axis goes from nothing to all."""
    return [float(share) for share in shares.round(_DECIMALS)]


def each_world(data: RolloutData, view: Callable[[World], tuple[list[dict[str, Any]], dict[str, Any]]]) -> list[View]:
    """Return a view of each world, made of its traces and layout."""
    return [View(world.name, *view(world)) for world in data.worlds]


def thinned(length: int, most: int) -> list[int]:
    """Return at most so many positions spread evenly, the first and the last among them."""
    if length <= most:
        return list(range(length))
    return [round(i * (length - 1) / (most - 1)) for i in range(most)]
