"""The rounds of an app that fedlite did not write: seen at the grid; what they achieved, its strategy says."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.compose.progress import Progress
from fedlite.results.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fedlite.fleet.ledger import Ledger
    from fedlite.flower.grid import FleetGrid

ACCURACY: Final = (
    "accuracy",
    "eval_acc",
    "eval_accuracy",
    "test_acc",
    "test_accuracy",
    "val_acc",
    "val_accuracy",
    "acc",
)
LOSS: Final = ("loss", "eval_loss", "test_loss", "val_loss")
MACRO_F1: Final = ("macro_f1", "eval_macro_f1", "f1")
"""Names under which apps report what fedlite's tables call accuracy, loss and macro_f1; the first found holds."""


@dataclass(frozen=True)
class _Span:
    """The rows of one `Strategy.start`: row `first` was open when it began, row `last - 1` when it ended."""

    first: int
    last: int
    result: Any


class AppRounds:
    """Fills the table of rounds while an app runs. A round begins when its train messages leave.

    Parameters
    ----------
    grid : FleetGrid
    ledger : Ledger
        Where the grid books.
    progress : callable, optional
        Called after every round.
    """

    def __init__(self, grid: FleetGrid, ledger: Ledger, progress: Callable[[Progress], None] | None) -> None:
        self.table = Rounds()
        self.names: tuple[str, ...] = ()
        self.final: list[NDArray[Any]] = []
        """The last strategy's final arrays; none if the app keeps its model to itself."""
        self._grid = grid
        self._ledger = ledger
        self._progress = progress
        self._rounds = 0
        self._open = 0
        self._rows_seen = 0
        self._began_s = grid.clock.now_s
        self._start_s, self._wall_s = grid.clock.now_s, time.perf_counter()
        self._eligible = 0
        self._live: dict[str, float] = {}
        self._span_from = 0
        self._spans: list[_Span] = []
        grid.on_train = self._trains

    def begin(self, rounds: int) -> None:
        """Note that a strategy starts."""
        self._rounds += rounds
        self._span_from = len(self.table.rows)

    def evaluated(self, round_: int, metrics: Mapping[str, Any]) -> None:
        """Note what the server's own test of the global model said."""
        del round_
        self._live = told(metrics)

    def end(self, result: Any) -> None:
        """Note a strategy's result."""
        self._spans.append(_Span(self._span_from, len(self.table.rows) + 1, result))
        arrays = getattr(result, "arrays", None)
        if arrays is not None and len(arrays):
            self.names = tuple(arrays.keys())
            self.final = [np.asarray(values) for values in arrays.to_numpy_ndarrays(keep_input=True)]

    def finish(self) -> dict[str, float]:
        """Close the last round, put metrics into the rows, and return the last ones under the app's own names."""
        self._close()
        last: dict[str, float] = {}
        for span in self._spans:
            for position in range(span.first, min(span.last, len(self.table.rows))):
                row = self.table.rows[position]
                # The row that was open when the strategy began holds what it tested before its first round.
                found = _metrics_of(span.result, 0 if position == span.first else int(row["round"]))
                last |= found
                for name, value in told(found).items():
                    if math.isnan(row[name]):
                        row[name] = value
        return last

    def _trains(self, round_: int, waits: bool) -> None:  # noqa: FBT001
        """Begin a round, unless single messages of the same round follow each other."""
        if not waits and round_ == self._open:
            return
        self._close()
        self._open, self._eligible = round_, self._grid.eligible

    def _close(self) -> None:
        now_s, wall_s = self._grid.clock.now_s, time.perf_counter()
        row = self.table.close(
            round_=self._open,
            start_s=self._start_s,
            end_s=now_s,
            eligible=self._eligible,
            jobs=self._ledger.columns(self._rows_seen),
            metrics=self._live,
            wall_s=wall_s - self._wall_s,
        )
        self._rows_seen = len(self._ledger)
        self._start_s, self._wall_s, self._live = now_s, wall_s, {}
        if self._progress is not None:
            energy_j = sum(float(done["energy_j"]) for done in self.table.rows)
            self._progress(
                Progress(
                    len(self.table.rows) - 1, self._rounds, now_s - self._began_s, float(row["accuracy"]), energy_j
                )
            )


def told(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return those of an app's metrics that the tables have columns for, under the tables' names."""
    found = {}
    for column, names in (("accuracy", ACCURACY), ("loss", LOSS), ("macro_f1", MACRO_F1)):
        value = next((metrics[name] for name in names if isinstance(metrics.get(name), int | float)), None)
        if value is not None:
            found[column] = float(value)
    return found


def _metrics_of(result: Any, round_: int) -> dict[str, float]:
    """Return a round's metrics; of equal names the server's own test outranks the clients', and that training."""
    found: dict[str, float] = {}
    for part in ("train_metrics_clientapp", "evaluate_metrics_clientapp", "evaluate_metrics_serverapp"):
        metrics = getattr(result, part, {}).get(round_) or {}
        found |= {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return found
