"""The epsilon of an app whose strategy is one of Flower's differential-privacy wrappers with fixed clipping.

The wrapper adds noise of standard deviation z C / n to the mean that the strategy under it made. Flower's FedAvg weighs
updates by their examples: without an owner whose updates make up a part w of the mean, that mean moves by up to w C.
The noise relative to the sensitivity is therefore z / (n w), which is `privacy.accounting`'s with weights of one's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.privacy import accounting
from fedlite.privacy.accounting import Release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

DELTA: Final = 1e-5
"""Where the app keeps no accountant, which would say one."""
_WRAPPERS: Final = "DifferentialPrivacy"
"""How the names of Flower's wrappers begin, old and new."""
_AVERAGES: Final = ("aggregate_train", "aggregate_fit")
"""Where FedAvg, new and old, averages."""


@dataclass(frozen=True)
class Start:
    """One strategy at work: rows `first_row` to `last_row` of the ledger are its jobs."""

    strategy: Any
    first_row: int
    last_row: int

    @property
    def private(self) -> bool:
        """Whether the strategy is one of Flower's wrappers."""
        return type(self.strategy).__name__.startswith(_WRAPPERS)


def app_privacy(starts: Sequence[Start], ledger: Mapping[str, NDArray[Any]], partitions: int) -> dict[str, Any] | None:
    """Return epsilon, delta and the sentence that says what they mean; None if no strategy guards anything.

    Parameters
    ----------
    starts : sequence of Start
        All strategies of the app, in order.
    ledger : columns
    partitions : int
        Owners of data: device d holds that of owner d % partitions.
    """
    private = [start for start in starts if start.private]
    if not private:
        return None
    if len(starts) > 1:
        return _unstated(DELTA, "several strategies were at work, and only their sum would mean something")
    [start] = private
    strategy, inner = start.strategy, start.strategy.strategy
    delta = _delta(strategy)
    if "Fixed" not in type(strategy).__name__:
        return _unstated(delta, "Flower's adaptive clipping has no accountant (see docs/concepts/privacy.md)")
    if not _averages(inner):
        name = type(inner).__name__
        return _unstated(delta, f"the noise comes after {name}'s own step, whose sensitivity clipping does not bound")
    releases = _releases(start, ledger, partitions)
    spent = accounting.spent(float(strategy.noise_multiplier), int(strategy.num_sampled_clients), releases, delta)
    clips = type(strategy).__name__.removeprefix(_WRAPPERS).startswith("ClientSide")
    condition = " It holds if the clients clip, as fixedclipping_mod does." if clips else ""
    return {"epsilon": spent.epsilon, "delta": delta, "statement": spent.statement + condition}


def _unstated(delta: float, why: str) -> dict[str, Any]:
    return {"epsilon": None, "delta": delta, "statement": f"Not stated: {why}."}


def _delta(strategy: Any) -> float:
    config = getattr(getattr(strategy, "accountant", None), "config", None)
    return float(getattr(config, "delta", DELTA))


def _averages(strategy: Any) -> bool:
    """Tell whether a strategy averages as FedAvg does, of whose methods one of that name is its own."""
    bases = {base.__name__: base for base in type(strategy).__mro__}
    average = bases.get("FedAvg")
    return average is not None and all(
        getattr(type(strategy), name, None) is getattr(average, name, None) for name in _AVERAGES
    )


def _releases(start: Start, ledger: Mapping[str, NDArray[Any]], partitions: int) -> list[Release]:
    """Return one release per round in which updates arrived."""
    rows = np.arange(start.first_row, start.last_row)
    rows = rows[(ledger["kind"][rows] == "train") & (ledger["outcome"][rows] == "arrived")]
    found = []
    for round_ in np.unique(ledger["round"][rows]):
        mine = rows[ledger["round"][rows] == round_]
        owners, weights = ledger["device"][mine] % partitions, ledger["examples"][mine].astype(np.float64)
        if not weights.sum() > 0:
            weights = np.ones(len(mine))
        most_shares = int(np.bincount(owners).max())
        most_weight = float(np.bincount(owners, weights).max() / weights.sum())
        found.append(Release(len(mine), most_shares, most_weight))
    return found
