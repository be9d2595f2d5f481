"""What Flower's FedAvg really averages: whose updates, with which weights. Both generations of strategies."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.flower.post import FIRST_NODE_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

METHODS: Final = ("aggregate_train", "aggregate_fit")
"""Where FedAvg averages, new and old."""


@dataclass(frozen=True)
class Averaged:
    """One mean: the device and the weight of every update, and whether one of their arrays has no dimension."""

    weights: tuple[tuple[int, float], ...]
    has_scalars: bool


def is_fedavg(strategy: Any) -> bool:
    """Tell whether a strategy averages by a method that is FedAvg's own."""
    bases = {base.__name__: base for base in type(strategy).__mro__ if base.__module__.partition(".")[0] == "flwr"}
    average = bases.get("FedAvg")
    return average is not None and all(
        getattr(type(strategy), name, None) is getattr(average, name, None) for name in METHODS
    )


def watch(strategy: Any, note: Callable[[Averaged], None]) -> None:
    """Tell of everything that a strategy averages from now on; means of nothing are none."""
    read = {"aggregate_train": _of_replies, "aggregate_fit": _of_results}
    for name in METHODS:
        if hasattr(strategy, name):
            setattr(strategy, name, _noted(getattr(strategy, name), read[name], strategy, note))


def _noted(
    average: Callable[..., Any],
    read: Callable[[Any, list[Any]], Averaged],
    strategy: Any,
    note: Callable[[Averaged], None],
) -> Callable[..., Any]:
    @functools.wraps(average)
    def wrapper(server_round: int, updates: Iterable[Any], *rest: Any, **named: Any) -> Any:
        given = list(updates)
        mean = read(strategy, given)
        if mean.weights:
            note(mean)
        return average(server_round, given, *rest, **named)

    return wrapper


def _of_replies(strategy: Any, replies: list[Any]) -> Averaged:
    """Read what a strategy of today is given: replies, of which those with an error do not count."""
    weights, has_scalars = [], False
    for reply in (reply for reply in replies if reply.has_content()):
        [metrics] = reply.content.metric_records.values()
        weights.append((reply.metadata.src_node_id - FIRST_NODE_ID, float(metrics[strategy.weighted_by_key])))
        arrays = [array for record in reply.content.array_records.values() for array in record.values()]
        has_scalars |= any(tuple(array.shape) == () for array in arrays)
    return Averaged(tuple(weights), has_scalars)


def _of_results(strategy: Any, results: list[Any]) -> Averaged:
    """Read what an older strategy is given: clients and what they fitted."""
    del strategy
    weights, has_scalars = [], False
    for client, fitted in results:
        weights.append((int(client.cid) - FIRST_NODE_ID, float(fitted.num_examples)))
        has_scalars |= any(
            np.load(io.BytesIO(each), allow_pickle=False).ndim == 0 for each in fitted.parameters.tensors
        )
    return Averaged(tuple(weights), has_scalars)
