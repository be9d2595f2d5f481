"""Several runs as tables: totals side by side, settings that differ, means and intervals over seeds."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from fedlite.learning.objectives.base import SHARE
from fedlite.report import measure, tables
from fedlite.report.noise import interval
from fedlite.report.run_data import NotARunError, RunData
from fedlite.report.words import number
from fedlite.scenario.strict_yaml import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fedlite.learning.objectives import Metric

COSTS: Final = ("up_bytes", "energy_j", "virtual_time_s")
"""What the main metric is weighed against."""
TIME_TO_TARGET: Final = "time_to_target_s"
_BESIDE: Final = ("energy_low_j", "energy_high_j", "down_bytes", "arrived")
_KIND: Final = ("epsilon_delta", "epsilon_guards")
_UNITS: Final = ("_s", "_j", "_bytes", "_g", "_wh", "_mwh")
"""Ends of names of quantities that are never below nothing."""
_TOTALS: Final = (
    *("rounds", "virtual_time_s", "energy_j", "energy_low_j", "energy_high_j", "radio_j", "tail_j"),
    *("carbon_g", "up_bytes", "down_bytes", "metered_bytes"),
)


def distinct_names(runs: Sequence[RunData]) -> list[str]:
    """Return one name per run: its scenario's, or, where two share one, the directory's, or its place in the list."""
    for candidates in ([run.name for run in runs], [run.path.resolve().name for run in runs]):
        if len(set(candidates)) == len(candidates):
            return candidates
    return [f"{position}: {run.name}" for position, run in enumerate(runs, start=1)]


def metric_of(runs: Sequence[RunData]) -> Metric:
    """Return by which metric runs are compared: the first main one that all have, else that of the first run."""
    return measure.shared([(run.main, run.rounds.columns) for run in runs])


def totals(runs: Sequence[RunData], names: Sequence[str]) -> pl.DataFrame:
    """Return one row per run: totals of its summary, each metric of a run, loss, check_in_j, arrived (share), epsilon.

    With epsilon come its delta (`epsilon_delta`) and against whom it holds (`epsilon_guards`). Not-a-number stands
    where a run has no such value.
    """
    columns = dict.fromkeys(
        name for run in runs for name in (run.main.name, "loss", *(each.name for each in run.metrics))
    )
    rows = [_total(run, name, columns) for run, name in zip(runs, names, strict=True)]
    return pl.DataFrame(rows, infer_schema_length=None)


def _total(run: RunData, name: str, columns: Iterable[str]) -> dict[str, Any]:
    summary = run.summary
    metrics = summary.get("metrics") or {}
    jobs = tables.outcome_counts(tables.main_jobs(run.clients))
    asked = int(jobs["jobs"].sum())
    arrived = int(jobs.filter(pl.col("outcome") == "arrived")["jobs"].sum())
    return {
        "run": name,
        **{key: number(summary.get(key)) for key in _TOTALS},
        **{key: number(metrics.get(key)) for key in columns},
        # A run without a target has no such key; one that did not reach it has the key and no number.
        "aimed": TIME_TO_TARGET in metrics,
        TIME_TO_TARGET: number(metrics.get(TIME_TO_TARGET)),
        "check_in_j": number((summary.get("calendar") or {}).get("check_in_j", 0.0)),
        "arrived": arrived / asked if asked else math.nan,
        **_guarantee(summary.get("epsilon") or {}),
        "seed": number(summary.get("seed")),
        "digest": str(summary["digest"]),
    }


def _guarantee(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return epsilon with what it takes to compare it with another: delta, against whom, which data are neighbours."""
    epsilon = number(told.get("epsilon"))
    if math.isnan(epsilon):
        return {"epsilon": math.nan, "epsilon_delta": math.nan, "epsilon_guards": ""}
    whom = "local" if "-local differential privacy" in str(told.get("statement")) else "central"
    return {
        "epsilon": epsilon,
        "epsilon_delta": number(told.get("delta")),
        "epsilon_guards": ", ".join([whom, *(str(told[key]) for key in ("relation",) if told.get(key))]),
    }


def settings(run: RunData) -> dict[str, str]:
    """Return the resolved scenario flattened: "training.local.lr" -> "0.02". Lists of plain values are one setting."""
    return flattened(run.scenario, str(run.path / "scenario.yaml"))


def flattened(scenario: str, place: str = "scenario.yaml") -> dict[str, str]:
    """Return the settings of a resolved scenario's text, as `settings` does; `place` is where it stands."""
    document = read(scenario, place)
    if document.problems:
        raise NotARunError(f"{document.problems[0]}; the run directory was changed, run the scenario again")
    return dict(_flat("", document.value))


def _flat(path: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [pair for key in sorted(value) for pair in _flat(f"{path}.{key}" if path else str(key), value[key])]
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [pair for index, item in enumerate(value) for pair in _flat(f"{path}[{index}]", item)]
    if isinstance(value, list):
        return [(path, ", ".join(map(_word, value)) or "(none)")]
    return [(path, _word(value))] if path else []


def _word(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return str(value)


def difference(runs: Sequence[RunData], *, ignore: frozenset[str] = frozenset({"name"})) -> list[tuple[str, ...]]:
    """Return the settings that are not the same in all runs: (setting, value in run 1, value in run 2, ...).

    A setting that a run does not have is an empty text.
    """
    every = [settings(run) for run in runs]
    keys = sorted(set().union(*every) - ignore) if every else []
    rows = [(key, *(found.get(key, "") for found in every)) for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def over_seeds(
    rows: pl.DataFrame, metric: Metric, axes: Sequence[str] = (), metrics: Sequence[Metric] = ()
) -> pl.DataFrame:
    """Return one row per `label` of `totals`-like rows: seeds, and of each number mean, `_min`, `_max` and interval.

    `_low` and `_high` are the ends of the mean's 95 % interval, null for fewer than three seeds; a metric that is a
    share keeps within 0 and 1, quantities and errors above 0. `axes` are other columns that are wanted, `metrics` what
    is known of those that are metrics; they, and `time_to_target_s`, are null where a seed has no such number, for a
    mean over the others would be of the lucky ones. `reached` is in how many seeds the target was (null without one),
    `tested` how many have the metric. `epsilon` is the largest over the seeds, for a guarantee holds for all of them.
    """
    extra = tuple(name for name in axes if name in rows.columns and name not in {metric.name, "epsilon"})
    complete = dict.fromkeys((TIME_TO_TARGET, *extra))
    columns = tuple(dict.fromkeys((metric.name, *COSTS, *_BESIDE, *complete)))
    found = rows.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in (*columns, "epsilon")
    )
    clean = found.with_columns(
        found[TIME_TO_TARGET].is_not_null().alias("came"),
        *(
            pl.when(pl.col(name).is_not_null().all().over("label")).then(pl.col(name)).alias(name)
            for name in (*complete, "epsilon")
        ),
    )
    known = {one.name: one for one in (*metrics, metric)}
    ends = {
        f"{name}_{end}": pl.col(name).map_batches(
            partial(_end, end=end, within=_bounds(name, known, clean[name])),
            return_dtype=pl.Float64,
            returns_scalar=True,
        )
        for name in columns
        for end in ("low", "high")
    }
    return clean.group_by("label", maintain_order=True).agg(
        pl.len().alias("seeds"),
        pl.col(metric.name).count().alias("tested"),
        *(pl.col(name).mean() for name in columns),
        *(pl.col(name).min().alias(f"{name}_min") for name in columns),
        *(pl.col(name).max().alias(f"{name}_max") for name in columns),
        *(found.alias(name) for name, found in ends.items()),
        pl.col(metric.name).std().alias(f"{metric.name}_std"),
        pl.when(pl.col("aimed").all()).then(pl.col("came").sum()).alias("reached"),
        pl.col("epsilon").max(),
        pl.col("epsilon").min().alias("epsilon_min"),
        pl.col("epsilon").max().alias("epsilon_max"),
        *(pl.lit(None, pl.Float64).alias(f"epsilon_{end}") for end in ("low", "high")),
        *(pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).alias(name) for name in _KIND),
    )


def _end(values: pl.Series, *, end: str, within: tuple[float, float]) -> float | None:
    found = getattr(interval(values.drop_nulls().to_list()), end)
    return min(max(found, within[0]), within[1]) if math.isfinite(found) else None


def _bounds(name: str, metrics: Mapping[str, Metric], values: pl.Series) -> tuple[float, float]:
    """Return between which values a number lies, whatever its spread over seeds."""
    metric = metrics.get(name.removeprefix("metrics."))
    if name == "arrived" or (metric is not None and metric.unit == SHARE):
        return (0.0, 1.0)
    # Nobody says whether a loss can be below zero; where no run's is, it is taken for one of those that cannot.
    is_error = metric is not None and metric.goal == "min" and (values.drop_nulls() >= 0).all()
    is_amount = name.endswith(_UNITS) or name.rpartition(".")[2].startswith("rounds")
    return (0.0, math.inf) if is_error or is_amount else (-math.inf, math.inf)
