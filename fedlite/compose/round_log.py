"""Closing rounds, whoever serves: a row of the table from what was booked since the last one, and a progress."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from fedlite.compose.progress import Progress
from fedlite.fleet.visits import SUMS
from fedlite.learning.objectives import LOSS, columns_of
from fedlite.learning.objectives.base import SHARE
from fedlite.results.rounds import OF_JOBS, Rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from fedlite.flower.grid import FleetGrid
    from fedlite.learning.objectives import Metric


class RoundLog:
    """The rounds of a run while it lasts. A round begins where the one before it was closed.

    Parameters
    ----------
    grid : FleetGrid
        Its clock says when, its ledger what was booked.
    metrics : sequence of Metric
        What tests of the global model may tell; each has a column.
    progress : callable, optional
        Called after every round.
    """

    def __init__(self, grid: FleetGrid, metrics: Sequence[Metric], progress: Callable[[Progress], None] | None) -> None:
        self.table = Rounds(columns_of(metrics))
        self._metrics = metrics
        self.expected = 0
        """Rounds that there will be; 0 while nobody knows."""
        self.trains = True
        """Whether rounds are of training; else they are of queries, and every job counts."""
        self._grid = grid
        self._progress = progress
        self._began_s = grid.clock.now_s
        self._start_s, self._start_wall_s = grid.clock.now_s, time.perf_counter()
        self._rows_seen = 0
        self._visits_seen = dict.fromkeys(SUMS, 0.0)
        self._energy_j = 0.0
        self._told = ""

    @property
    def main(self) -> Metric:
        """The first of the metrics that some round has; the loss if none has."""
        return metrics_of_rounds(self.table, self._metrics)[0]

    def close(self, round_: int, *, eligible: int, metrics: dict[str, float]) -> None:
        """Close a round now.

        Parameters
        ----------
        round_ : int
        eligible : int
            Devices that could be asked when it began.
        metrics : dict
            What a test of the global model said: the metrics and the loss, as far as known.
        """
        now_s, now_wall_s = self._grid.clock.now_s, time.perf_counter()
        row = self.table.close(
            round_=round_,
            start_s=self._start_s,
            end_s=now_s,
            eligible=eligible,
            jobs=self._grid.ledger.columns(self._rows_seen, OF_JOBS),
            visits=self._new_visits(),
            metrics=metrics,
            wall_s=now_wall_s - self._start_wall_s,
            trains=self.trains,
        )
        self._rows_seen = len(self._grid.ledger)
        self._energy_j += float(row["energy_j"])
        self._start_s, self._start_wall_s = now_s, now_wall_s
        self._tell()

    def settle(self) -> None:
        """Add the jobs that were under way when the last round was closed to its row: they cost what they cost.

        Whoever watches is told once more if they changed anything, or if an app's results told more of the model.
        """
        jobs = self._grid.ledger.columns(self._rows_seen, OF_JOBS)
        self._rows_seen = len(self._grid.ledger)
        visits = self._new_visits()
        self.table.settle(jobs, visits, trains=self.trains)
        self._energy_j += float(jobs["energy_j"].sum()) + visits["energy_j"]
        if self.table.rows:
            self._tell()

    def _new_visits(self) -> dict[str, float]:
        """Return the sums over the check-ins since the last row."""
        check_ins = self._grid.fleet.check_ins
        now = self._visits_seen if check_ins is None else dict(check_ins.visits.sums)
        new = {name: now[name] - before for name, before in self._visits_seen.items()}
        self._visits_seen = now
        return new

    def _tell(self) -> None:
        """Tell whoever watches how far the run is, unless that is what was told last."""
        if self._progress is None:
            return
        rows, name = self.table.rows, self.main.name
        known = (float(row[name]) for row in reversed(rows) if not math.isnan(row[name]))
        done, virtual_s = len(rows) - 1, self._grid.clock.now_s - self._began_s
        value = next(known, math.nan)
        now = Progress(
            done,
            self.expected,
            virtual_s,
            name,
            value,
            self._energy_j,
            self.trains,
            is_share=self.main.unit == SHARE,
            row=dict(rows[-1]),
        )
        told = f"{now} {now.row}"  # not-a-number is never equal to itself, but is written alike
        if told != self._told:
            self._told = told
            self._progress(now)


def metrics_of_rounds(table: Rounds, metrics: Sequence[Metric], told: Collection[str] = ()) -> list[Metric]:
    """Return those of the metrics that some round has or that are told anyway, in their order; the loss if none."""
    known = {one.name for one in metrics if any(not math.isnan(row[one.name]) for row in table.rows)}
    return [one for one in metrics if one.name in known.union(told)] or [LOSS]
