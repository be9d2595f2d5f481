"""The finished runs of a study, read and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from fedlite.errors import FedliteError
from fedlite.report import run_sets
from fedlite.report.run_data import RunData, has_value, read_run, summary_value
from fedlite.report.same_result import SameResult
from fedlite.report.shipped import shipped_metric
from fedlite.report.trade_off import TradeOffs
from fedlite.report.words import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.learning.objectives import Metric

StudyRun = tuple[str, int, Path]
"""Label of the setting, seed, run directory."""
FailedRun = tuple[str, int, str]
"""Label of the setting, seed, what went wrong."""


class EmptyStudyError(FedliteError):
    """A study without a single finished run has no page."""


@dataclass(frozen=True)
class Study:
    """The finished runs of a study and what is derived from them."""

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[RunData, ...]
    rows: pl.DataFrame
    """`run_sets.totals` of every run with its label; the main metric is that of what devices get."""
    settings: pl.DataFrame
    """`run_sets.over_seeds`: one row per label."""
    trade_offs: TradeOffs
    axes: tuple[str, ...] = ()
    """Two values of the summary that the study's file wants to see against each other."""

    @property
    def metric(self) -> Metric:
        """By which the runs are compared."""
        return self.trade_offs.metric

    @cached_property
    def same_result(self) -> SameResult:
        """What each setting had spent when it was first as good as half of all runs were, or as was asked for."""
        return SameResult(self.runs, self.labels, self.seeds)

    @property
    def untested(self) -> list[tuple[str, int, str]]:
        """The runs without a finite value of the metric, or of which training itself said that nothing came of it.

        (label, seed, why), why "" if the run does not say.
        """
        values = self.rows[self.metric.name].is_finite().fill_null(value=False)
        told = [str(run.summary.get("verdict") or "") for run in self.runs]
        every = zip(self.labels, self.seeds, values, told, strict=True)
        return [(label, seed, why) for label, seed, is_known, why in every if why or not is_known]

    @property
    def scored_on(self) -> list[str]:
        """On which rows the runs were tested, where they say so, each text once."""
        return list(dict.fromkeys(str(run.summary.get("scored_on") or "") for run in self.runs))


def read_study(runs: Sequence[StudyRun], axes: Sequence[str] = ()) -> Study:
    """Read the runs of a study; `axes` are two values of the summary that are wanted against each other.

    Raises
    ------
    EmptyStudyError
        If there are none.
    NotARunError
        If a directory is not a finished run of this version.
    FedliteError
        If no run has a value that is wanted as an axis.
    """
    if not runs:
        raise EmptyStudyError("got no finished run, expected at least one; run the study first")
    found = tuple(read_run(path) for _, _, path in runs)
    labels = tuple(text for text, _, _ in runs)
    seeds = tuple(seed for _, seed, _ in runs)
    rows = run_sets.totals(found, [path.name for _, _, path in runs]).with_columns(
        pl.Series("label", labels, dtype=pl.String), pl.Series("seed", seeds, dtype=pl.Int64)
    )
    metric = run_sets.metric_of(found)
    rows = rows.with_columns(_shipped(found, rows, metric))
    rows = rows.with_columns(_axis(found, name) for name in axes if rows.schema.get(name) != pl.Float64)
    settings = run_sets.over_seeds(rows, metric, axes, [one for run in found for one in run.metrics])
    # What is guaranteed of a setting is the epsilon of its worst seed.
    stated = pl.col("epsilon").is_finite().all().over("label")
    guaranteed = rows.with_columns(pl.when(stated).then(pl.col("epsilon").max().over("label")).alias("epsilon"))
    return Study(labels, seeds, found, rows, settings, TradeOffs(guaranteed, metric), tuple(axes))


def _axis(runs: Sequence[RunData], name: str) -> pl.Series:
    """Return a value of the summary of each run, by its dotted name."""
    if not any(has_value(run.summary, name) for run in runs):
        numbers = ", ".join(sorted(key for key, value in runs[0].summary.items() if math.isfinite(number(value))))
        raise FedliteError(
            f"axes: got {name!r}, which no run's summary has as a number, expected one such as {numbers}, or a metric;"
            " mend 'axes' in the study and sweep again: nothing is run twice"
        )
    return pl.Series(name, [summary_value(run.summary, name) for run in runs], dtype=pl.Float64)


def _shipped(runs: Sequence[RunData], rows: pl.DataFrame, metric: Metric) -> pl.Series:
    """Return the metric by which settings are compared: of what devices get, where runs tell of their main one."""
    trained = rows[metric.name].to_list()
    values = [
        shipped_metric(run) if run.main.name == metric.name else value for run, value in zip(runs, trained, strict=True)
    ]
    return pl.Series(metric.name, values, dtype=pl.Float64)
