"""The server side of a scenario: a Flower strategy on the grid, with the global model tested as it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, MetricRecord
from numpy.typing import NDArray

from fedlite.flower import compat

if TYPE_CHECKING:
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
    """

    def evaluate(round_: int, record: ArrayRecord) -> MetricRecord | None:
        metrics = test(round_, from_record(record))
        return MetricRecord({**metrics}) if metrics else None

    with (
        compat.seeded_globals(seed),
        compat.virtual_sleep(grid.wait),
        compat.quiet_logs(),
        compat.cheap_collections(),
    ):
        result = strategy.start(
            grid, to_record(names, arrays), num_rounds=rounds, timeout=FOREVER_S, evaluate_fn=evaluate
        )
    return from_record(result.arrays) if len(result.arrays) else list(arrays)


def to_record(names: Sequence[str], arrays: Sequence[Array]) -> ArrayRecord:
    """Return arrays as Flower carries them."""
    return ArrayRecord({name: FlowerArray(np.ascontiguousarray(a)) for name, a in zip(names, arrays, strict=True)})


def from_record(record: ArrayRecord) -> list[Array]:
    """Return the arrays of a record, which keeps them."""
    return [np.asarray(array) for array in record.to_numpy_ndarrays(keep_input=True)]
