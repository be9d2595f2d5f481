"""Several runs as tables: totals side by side, settings that differ, cost of the same result, fronts over seeds."""

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
_PRICES: Final = ("time_s", "up_bytes", "energy_j")
_BESIDE: Final = ("energy_low_j", "energy_high_j", "down_bytes", "arrived", "epsilon")
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


def same_result(runs: Sequence[RunData], names: Sequence[str]) -> pl.DataFrame:
    """Return what each run had spent when it first reached the best value of the metric that every run reached.

    Columns: run, target and those of `tables.learning_curve`. Empty if no target was reached by all.
    """
    targets, reached = _reached(runs)
    common = set.intersection(*(set(found["target"].to_list()) for found in reached)) if reached else set()
    if not common:
        return pl.DataFrame({"run": [], "target": []}, schema={"run": pl.String, "target": pl.Float64})
    target = [level for level in targets if level in common][-1]
    return pl.concat(
        found.filter(pl.col("target") == target).select(pl.lit(name).alias("run"), pl.all())
        for name, found in zip(names, reached, strict=True)
    )


def at_same_result(runs: Sequence[RunData], labels: Sequence[str]) -> pl.DataFrame:
    """Return what each setting had spent when it first reached the best round value that half of all runs reached.

    Columns: label, target, seeds, reached (in how many of them), and of time_s, up_bytes and energy_j the mean, `_low`
    and `_high`. Where a seed did not reach it, all that it spent stands for it: the mean is then the least that it can
    be, and has no interval. Empty if there is no such value.
    """
    targets, reached = _reached(runs)
    counts = {level: sum(level in found["target"] for found in reached) for level in targets}
    common = [level for level in targets if 2 * counts[level] >= len(runs)]
    if not common:
        return pl.DataFrame(schema={"label": pl.String, "target": pl.Float64})
    rows: dict[str, list[dict[str, float]]] = {}
    for label, run, found in zip(labels, runs, reached, strict=True):
        there = found.filter(pl.col("target") == common[-1])
        spent = there if there.height else _all_spent(run)
        rows.setdefault(label, []).append({"reached": there.height, **spent.select(_PRICES).row(0, named=True)})
    return pl.DataFrame([_at(label, common[-1], several) for label, several in rows.items()])


def _reached(runs: Sequence[RunData]) -> tuple[Sequence[float], list[pl.DataFrame]]:
    """Return round values of the metric, the easiest first, and what each run had spent when it first reached each."""
    metric = metric_of(runs)
    curves = [tables.learning_curve(run.rounds, metric) for run in runs]
    targets = measure.levels(metric, [value for curve in curves for value in curve[metric.name]])
    return targets, [tables.first_reached(curve, metric, targets, at_most=99) for curve in curves]


def _all_spent(run: RunData) -> pl.DataFrame:
    """Return what a run had spent in the end, tested or not."""
    return run.rounds.select(
        (pl.col("end_s").max() - pl.col("start_s").min()).alias("time_s"),
        *(pl.col(name).fill_null(0).sum() for name in _PRICES if name != "time_s"),
    )


def _at(label: str, target: float, seeds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    came = sum(int(seed["reached"]) for seed in seeds)
    row: dict[str, Any] = {"label": label, "target": target, "seeds": len(seeds), "reached": came}
    for name in _PRICES:
        found = interval([float(seed[name]) for seed in seeds])
        known = came == len(seeds) and math.isfinite(found.low)
        row |= {
            name: found.mean,
            f"{name}_low": max(found.low, 0.0) if known else None,
            f"{name}_high": found.high if known else None,
        }
    return row


def over_seeds(rows: pl.DataFrame, metric: Metric, axes: Sequence[str] = ()) -> pl.DataFrame:
    """Return one row per `label` of `totals`-like rows: seeds, and of each number mean, `_min`, `_max` and interval.

    `_low` and `_high` are the ends of the mean's 95 % interval, null for a single seed; a metric that is a share keeps
    within 0 and 1, costs above 0, and `axes`, other columns that are wanted, within nothing. `reached` is in how many
    seeds the target was (null without one), `time_to_target_s` the mean if it was in all.
    """
    extra = [name for name in axes if name in rows.columns]
    columns = tuple(dict.fromkeys((metric.name, *COSTS, *_BESIDE, *extra)))
    clean = rows.with_columns(pl.col(name).fill_nan(None) for name in columns)
    ends = {
        f"{name}_{end}": pl.col(name).map_batches(
            partial(_end, end=end, within=_bounds(name, metric)), return_dtype=pl.Float64, returns_scalar=True
        )
        for name in columns
        for end in ("low", "high")
    }
    return clean.group_by("label", maintain_order=True).agg(
        pl.len().alias("seeds"),
        *(pl.col(name).mean() for name in columns),
        *(pl.col(name).min().alias(f"{name}_min") for name in columns),
        *(pl.col(name).max().alias(f"{name}_max") for name in columns),
        *(found.alias(name) for name, found in ends.items()),
        pl.col(metric.name).std().alias(f"{metric.name}_std"),
        pl.when(pl.col("aimed").all()).then(pl.col(TIME_TO_TARGET).is_not_nan().sum()).alias("reached"),
        pl.when(pl.col(TIME_TO_TARGET).is_not_nan().all()).then(pl.col(TIME_TO_TARGET).mean()).alias(TIME_TO_TARGET),
    )


def _end(values: pl.Series, *, end: str, within: tuple[float, float]) -> float | None:
    found = getattr(interval(values.drop_nulls().to_list()), end)
    return min(max(found, within[0]), within[1]) if math.isfinite(found) else None


def _bounds(name: str, metric: Metric) -> tuple[float, float]:
    """Return between which values a number lies, whatever its spread over seeds."""
    if name == metric.name:
        return (0.0, 1.0) if metric.unit == SHARE else (-math.inf, math.inf)
    return (0.0, math.inf) if name in {*COSTS, *_BESIDE} else (-math.inf, math.inf)
