"""Several runs as tables: totals side by side, settings that differ, cost of the same result, fronts over seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from fedlite.report import measure, tables
from fedlite.report.run_data import NotARunError, RunData
from fedlite.report.words import number
from fedlite.scenario.strict_yaml import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fedlite.learning.objectives import Metric

COSTS: Final = ("up_bytes", "energy_j", "virtual_time_s")
"""What the main metric is weighed against."""
TIME_TO_TARGET: Final = "time_to_target_s"
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

    Not-a-number stands where a run has no such value.
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
        "epsilon": number((summary.get("epsilon") or {}).get("epsilon")),
        "seed": number(summary.get("seed")),
        "digest": str(summary["digest"]),
    }


def settings(run: RunData) -> dict[str, str]:
    """Return the resolved scenario flattened: "training.local.lr" -> "0.02". Lists of plain values are one setting."""
    document = read(run.scenario, str(run.path / "scenario.yaml"))
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


def same_result(runs: Sequence[RunData], names: Sequence[str]) -> pl.DataFrame:
    """Return what each run had spent when it first reached the best value of the metric that every run reached.

    Columns: run, target and those of `tables.learning_curve`. Empty if no target was reached by all.
    """
    metric = metric_of(runs)
    curves = [tables.learning_curve(run.rounds, metric) for run in runs]
    targets = measure.levels(metric, [value for curve in curves for value in curve[metric.name]])
    reached = [tables.first_reached(curve, metric, targets, at_most=99) for curve in curves]
    common = set.intersection(*(set(found["target"].to_list()) for found in reached)) if reached else set()
    if not common:
        return pl.DataFrame({"run": [], "target": []}, schema={"run": pl.String, "target": pl.Float64})
    target = [level for level in targets if level in common][-1]
    return pl.concat(
        found.filter(pl.col("target") == target).select(pl.lit(name).alias("run"), pl.all())
        for name, found in zip(names, reached, strict=True)
    )


def over_seeds(rows: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """Return one row per `label` of `totals`-like rows: seeds, and of each number its mean, `_min` and `_max`.

    `reached` is in how many seeds the target was (null without one), `time_to_target_s` the mean if it was in all.
    """
    columns = (metric.name, *COSTS, "energy_low_j", "energy_high_j", "down_bytes", "arrived")
    clean = rows.with_columns(pl.col(name).fill_nan(None) for name in columns)
    return clean.group_by("label", maintain_order=True).agg(
        pl.len().alias("seeds"),
        *(pl.col(name).mean() for name in columns),
        *(pl.col(name).min().alias(f"{name}_min") for name in columns),
        *(pl.col(name).max().alias(f"{name}_max") for name in columns),
        pl.col(metric.name).std().alias(f"{metric.name}_std"),
        pl.when(pl.col("aimed").all()).then(pl.col(TIME_TO_TARGET).is_not_nan().sum()).alias("reached"),
        pl.when(pl.col(TIME_TO_TARGET).is_not_nan().all()).then(pl.col(TIME_TO_TARGET).mean()).alias(TIME_TO_TARGET),
    )


def on_front(gain: Sequence[float | None], cost: Sequence[float | None]) -> list[bool]:
    """Return which points no other beats: none has at least the gain for at most the cost, one of them better.

    Points without a number are never on the front.
    """
    points = list(zip(gain, cost, strict=True))
    return [
        mine is not None
        and price is not None
        and not any(
            other is not None
            and paid is not None
            and other >= mine
            and paid <= price
            and (other > mine or paid < price)
            for other, paid in points
        )
        for mine, price in points
    ]
