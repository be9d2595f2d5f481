"""The table of rounds: one row per step of the global model, filled from the ledger rows since the last step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Columns = dict[str, NDArray[Any]]


TAKEN: Final = frozenset(
    {
        *("round", "start_s", "end_s", "eligible", "selected", "arrived", "late", "surplus", "failed", "energy_j"),
        *("up_bytes", "down_bytes", "train_loss", "wall_s", "energy_low_j", "energy_high_j", "time_s", "check_ins"),
        *("virtual_time_s", "client", "device", "samples", "run", "label", "seeds", "target", "rounds", "rank"),
    }
)
"""Names that columns of the tables of rounds, clients and comparisons have, so that no metric can."""

_ADDED: Final = ("energy_j", "energy_low_j", "energy_high_j", "up_bytes", "down_bytes")
"""Columns of the ledger that a round sums up."""
OF_JOBS: Final = ("kind", "outcome", "examples", "loss", *_ADDED)
"""Columns of the ledger that a round is made of."""

NOT_NEEDED: Final = ("surplus", "unheard")
"""Outcomes of jobs that nobody waited for any more, as `fedlite.fleet.outcomes` has them."""
_OF_TRAINING: Final = ("selected", "arrived", "late", "surplus", "failed")


def refuse_taken(metrics: Sequence[str]) -> None:
    """Raise FedliteError if a metric has the name of another column."""
    if taken := sorted(TAKEN.intersection(metrics)):
        raise FedliteError(
            f"objective: got a metric called {taken[0]!r}, expected a name that no column of the tables of rounds and "
            "clients has; give it another"
        )


class Rounds:
    """Rows of finished rounds, in order. `wall_s` is for people and never part of a digest.

    Parameters
    ----------
    metrics : sequence of str
        Names of what the tests of the global model tell: a column each.

    Raises
    ------
    FedliteError
        If a metric has the name of another column.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        refuse_taken(metrics)
        self.metrics = tuple(metrics)
        self.rows: list[dict[str, float | int]] = []

    def close(
        self,
        *,
        round_: int,
        start_s: float,
        end_s: float,
        eligible: int,
        jobs: Columns,
        visits: Mapping[str, float],
        metrics: dict[str, float],
        wall_s: float,
        trains: bool = True,
    ) -> dict[str, float | int]:
        """Add a round and return its row; without `trains`, every job counts.

        Parameters
        ----------
        round_, start_s, end_s, eligible
            Its number, its times, and how many devices could be asked.
        jobs : columns
            `OF_JOBS` of the ledger's new rows.
        visits : mapping
            Sums over the check-ins of the round, under the names of the ledger.
        metrics : dict
            What a test of the global model said.
        wall_s : float
        trains : bool
        """
        train, arrived = jobs["kind"] == "train", jobs["outcome"] == "arrived"
        useful = arrived & train & ~np.isnan(jobs["loss"])
        weights = jobs["examples"][useful].astype(np.float64)
        train_loss = float(np.average(jobs["loss"][useful], weights=weights)) if weights.sum() > 0 else float("nan")
        row: dict[str, float | int] = {
            "round": round_,
            "start_s": start_s,
            "end_s": end_s,
            "eligible": eligible,
            **_sums(jobs, visits, trains=trains),
            **{name: metrics.get(name, float("nan")) for name in self.metrics},
            "train_loss": train_loss,
            "wall_s": wall_s,
        }
        self.rows.append(row)
        return row

    def join(self) -> int:
        """Make one row, in which nobody was trained, of all that there are; return how many are fewer."""
        rows = self.rows
        if len(rows) > 1:
            first, last = rows[0], rows[-1]
            sums = {name: sum(row[name] for row in rows) for name in (*_ADDED, "check_ins", "wall_s")}
            self.rows = [{**first, **sums, "end_s": last["end_s"]}]
        for row in self.rows:
            row.update(dict.fromkeys(_OF_TRAINING, 0))
        return len(rows) - len(self.rows)

    def settle(self, jobs: Columns, visits: Mapping[str, float], *, trains: bool = True) -> None:
        """Add what was under way when the last round closed to its row, so that rounds add up to the run."""
        if self.rows:
            row = self.rows[-1]
            row.update({name: row[name] + value for name, value in _sums(jobs, visits, trains=trains).items()})


def _sums(jobs: Columns, visits: Mapping[str, float], *, trains: bool) -> dict[str, float | int]:
    """Return what a round's jobs and check-ins sum up to, jobs of training alone counted if there is any."""
    main = (jobs["kind"] == "train") | (not trains)
    arrived, late = jobs["outcome"] == "arrived", jobs["outcome"] == "late"
    surplus = np.isin(jobs["outcome"], NOT_NEEDED)
    return {
        "selected": int(main.sum()),
        "arrived": int((main & arrived).sum()),
        "late": int((main & late).sum()),
        "surplus": int((main & surplus).sum()),
        "failed": int((main & ~arrived & ~late & ~surplus).sum()),
        "check_ins": int(visits["check_ins"]),
        **{name: _total(jobs[name].sum().item(), visits[name]) for name in _ADDED},
    }


def _total(of_jobs: float, of_visits: float) -> float | int:
    """Return a sum of the same type as that of the jobs: bytes are whole."""
    return of_jobs + (int(of_visits) if isinstance(of_jobs, int) else of_visits)
