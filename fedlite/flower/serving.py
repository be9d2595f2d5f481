"""The server side of a scenario: a Flower strategy on the grid, with the global model tested as it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flwr.app import ArrayRecord, MetricRecord
from numpy.typing import NDArray

from fedlite.flower import compat
from fedlite.flower.records import from_record, in_types, to_record, types_of

if TYPE_CHECKING:
    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import Strategy

    from fedlite.flower.grid import FleetGrid

Array = NDArray[Any]
Tester = Callable[[int, Sequence[Array]], dict[str, float]]
"""Called with the number of finished rounds and the global model; returns metrics, possibly none."""

FOREVER_S = 1e12
"""Timeout given to strategies where the scenario sets no deadline; the grid's own policy decides."""


def serve(
    grid: FleetGrid,
    strategy: Strategy,
    names: Sequence[str],
    arrays: Sequence[Array],
    rounds: int,
    test: Tester,
    seed: int,
    secured: Grid | None = None,
) -> list[Array]:
    """Run a synchronous strategy for some rounds and return the final model.

    Parameters
    ----------
    grid : FleetGrid
    strategy : Strategy
    names, arrays : sequences
        The initial model: keys of its state dict and values.
    rounds : int
    test : Tester
    seed : int
        Names the streams of what Flower draws from process-wide generators (sampling, noise).
    secured : Grid, optional
        The grid as the strategy sees it, where that is not the grid itself.
    """
    dtypes = types_of(arrays)

    def evaluate(round_: int, record: ArrayRecord) -> MetricRecord | None:
        metrics = test(round_, in_types(from_record(record), dtypes))
        return MetricRecord({**metrics}) if metrics else None

    with (
        compat.seeded_globals(seed),
        compat.virtual_sleep(grid.wait),
        compat.quiet_logs(),
        compat.cheap_collections(),
    ):
        result = strategy.start(
            secured or grid, to_record(names, arrays), num_rounds=rounds, timeout=FOREVER_S, evaluate_fn=evaluate
        )
    return in_types(from_record(result.arrays), dtypes) if len(result.arrays) else list(arrays)
