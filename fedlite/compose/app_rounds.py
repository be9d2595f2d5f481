"""The rounds of an app that fedlite did not write: seen at the grid; what they achieved, its strategy says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.compose.app_privacy import Start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fedlite.compose.round_log import RoundLog
    from fedlite.flower.grid import FleetGrid

TOLD: Final = {
    "accuracy": (
        "accuracy",
        "eval_acc",
        "eval_accuracy",
        "test_acc",
        "test_accuracy",
        "val_acc",
        "val_accuracy",
        "acc",
        "cen_accuracy",
        "centralized_accuracy",
        "federated_evaluate_accuracy",
    ),
    "loss": ("loss", "eval_loss", "test_loss", "val_loss"),
    "macro_f1": ("macro_f1", "eval_macro_f1", "f1"),
}
"""Column of the table -> names under which apps report it; the first found holds."""


TESTS: Final = ("evaluate_metrics_clientapp", "evaluate_metrics_serverapp")
"""Parts of a result that tell of tests; the server's own outranks that of the clients."""


@dataclass(frozen=True)
class _Span:
    """The rows of one `Strategy.start`: row `first` was open when it began, row `last - 1` when it ended."""

    first: int
    last: int
    result: Any


class AppRounds:
    """Fills the table of rounds while an app runs.

    A round begins when its first message leaves. Messages that name a round belong to it, however many exchanges it
    takes; where they name none, every exchange that trains is a round. What was asked before anything was trained is
    part of round 0; an app that never trains has a round per query.

    Parameters
    ----------
    grid : FleetGrid
    log : RoundLog
        Closes them.
    """

    def __init__(self, grid: FleetGrid, log: RoundLog) -> None:
        self.names: tuple[str, ...] = ()
        self.final: list[NDArray[Any]] = []
        """The last strategy's final arrays; none if the app keeps its model to itself."""
        self._grid = grid
        self._log = log
        self.trained = False
        """Whether anything was."""
        self._open = 0
        self._named = True
        self._starts = False
        self._eligible = 0
        self._live: dict[str, float] = {}
        self._span_from = 0
        self._spans: list[_Span] = []
        self.starts: list[Start] = []
        """The strategies that were at work."""
        grid.on_exchange = self._leaves
        log.trains = False

    def begin(self, rounds: int, strategy: Any) -> None:
        """Note that a strategy starts."""
        self.starts.append(Start.watched(strategy))
        self._log.expected += rounds
        self._starts = True
        self._span_from = len(self._log.table.rows)

    def evaluated(self, round_: int, metrics: Mapping[str, Any]) -> None:
        """Note what the server's own test of the global model said."""
        del round_
        self._live |= in_columns(metrics)

    def end(self, result: Any) -> None:
        """Note a strategy's result."""
        self._spans.append(_Span(self._span_from, len(self._log.table.rows) + 1, result))
        arrays = getattr(result, "arrays", None)
        if arrays is not None and len(arrays):
            self.names = tuple(arrays.keys())
            self.final = [np.asarray(values) for values in arrays.to_numpy_ndarrays(keep_input=True)]

    def finish(self) -> dict[str, float]:
        """Close the last round, put metrics into the rows, and return the last ones under the app's own names."""
        self._close()
        last: dict[str, float] = {}
        for span in self._spans:
            for position in range(span.first, min(span.last, len(self._log.table.rows))):
                row = self._log.table.rows[position]
                # The row that was open when the strategy began holds what it tested before its first round.
                round_ = 0 if position == span.first else int(row["round"])
                tested = _metrics_of(span.result, round_, TESTS)
                last |= _metrics_of(span.result, round_, ("train_metrics_clientapp",)) | tested
                for name, value in in_columns(tested).items():
                    if math.isnan(row[name]):
                        row[name] = value
        return last

    def _leaves(self, kind: str, named: int | None) -> int:
        """Begin a round where messages that leave do, and return the one that they belong to."""
        trains = kind == "train"
        begins, first = self._begins(named, trains=trains), trains and not self.trained
        if first:
            self.trained = self._log.trains = True
        if begins:
            self._close()
            self._open = (0 if first else self._open) + 1 if named is None else named
            self._named, self._starts, self._eligible = named is not None, False, self._grid.eligible
        if first:
            self._span_from = max(0, self._span_from - self._log.table.join())
        return self._open if named is None else named

    def _begins(self, named: int | None, *, trains: bool) -> bool:
        if named is None:
            return trains or not self.trained
        if trains or not self.trained:
            return not self._named or named != self._open or (self._starts and named > 0)
        # Servers also ask clients about themselves before they train them; tests may number themselves as they like.
        return named == self._open + 1

    def _close(self) -> None:
        self._log.close(self._open, eligible=self._eligible, metrics=self._live)
        self._live = {}


def in_columns(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return those of an app's metrics that the tables have columns for, under the tables' names."""
    found = {}
    for column, names in TOLD.items():
        value = next((metrics[name] for name in names if isinstance(metrics.get(name), int | float)), None)
        if value is not None:
            found[column] = float(value)
    return found


def _metrics_of(result: Any, round_: int, parts: tuple[str, ...]) -> dict[str, float]:
    """Return a round's metrics out of some parts of a result; of equal names the later part's."""
    found: dict[str, float] = {}
    for part in parts:
        metrics = getattr(result, part, {}).get(round_) or {}
        found |= {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return found
