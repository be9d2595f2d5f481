"""Results to tables: pure functions from a run's frames to polars frames, used by pages, command line and API alike.

Everything about single jobs is aggregated lazily in polars, so a ledger of millions of rows stays on disk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from fedlite.fleet.outcomes import NOT_NEEDED, Outcome
from fedlite.report import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fedlite.learning.objectives import Metric

QUANTILES: Final = {"q05": 0.05, "q25": 0.25, "q50": 0.50, "q75": 0.75, "q95": 0.95}
"""Column -> quantile of a spread: the box and its whiskers."""
MOST_CLASSES: Final = 24
"""More device profiles than this are shown by tier."""


def main_jobs(clients: pl.LazyFrame) -> pl.LazyFrame:
    """Return the training jobs, or every job of a run that trains nothing."""
    training = clients.filter(pl.col("kind") == "train")
    return training if training.select(pl.len()).collect().item() else clients


def class_column(fleet: pl.DataFrame) -> str:
    """Return the column by which device classes are told apart: the profile, or the tier in a fleet of very many."""
    return "profile" if fleet["profile"].n_unique() <= MOST_CLASSES else "tier"


def by_plan(fleet: pl.DataFrame, jobs: pl.LazyFrame) -> pl.DataFrame:
    """Return one row per class and plan that its jobs had: the class's row of the fleet with jobs, bytes and plan.

    A class without jobs keeps its row. Of a plan that is not the one by which the class was judged, training time and
    memory are those of its jobs, the mean and the most, and nothing is said about it. Bytes are those of a job that
    arrived, the mean: both its ways were gone to the end.
    """
    arrived = pl.col("outcome") == Outcome.ARRIVED
    bytes_ = [pl.col(name).filter(arrived).mean() for name in ("up_bytes", "down_bytes")]
    seen = [pl.len().alias("jobs"), pl.col("train_s").filter(pl.col("train_s") > 0).mean(), pl.col("peak_bytes").max()]
    own = jobs.group_by("profile", "plan").agg(*bytes_, *seen).collect()
    told = [name for name in ("plan_remark", "plan_reason") if name in fleet.columns]
    joined = fleet.rename({"plan": "judged", "peak_bytes": "judged_bytes"}).join(own, on="profile", how="left")
    other = pl.col("plan").is_not_null() & (pl.col("plan") != pl.col("judged"))
    return (
        joined.with_columns(
            pl.when(other).then(pl.col("train_s")).otherwise(pl.col("train_s_per_round")).alias("train_s_per_round"),
            pl.when(other).then(pl.col("peak_bytes")).otherwise(pl.col("judged_bytes")).alias("peak_bytes"),
            pl.coalesce("plan", "judged").alias("plan"),
            pl.col("jobs").fill_null(0),
            *(pl.when(other).then(pl.lit("")).otherwise(pl.col(name)).alias(name) for name in told),
        )
        .drop("judged", "judged_bytes", "train_s")
        .sort("train_s_per_round", "profile", "plan")
    )


def learning_curve(rounds: pl.DataFrame, metric: Metric) -> pl.DataFrame:
    """Return one row per evaluated round with what it had cost until then.

    Columns: round, time_s, up_bytes, down_bytes, energy_j, energy_low_j, energy_high_j (all cumulative), the metric
    and loss. Time counts from the start of the first round. Rounds whose metric and loss are both not-a-number are
    left out after the sums are taken.
    """
    measured = [
        (pl.col(name) if name in rounds.columns else pl.lit(None)).cast(pl.Float64).fill_nan(None).alias(name)
        for name in dict.fromkeys((metric.name, "loss"))
    ]
    running = rounds.sort("round").select(
        "round",
        (pl.col("end_s") - pl.col("start_s").min()).alias("time_s"),
        *(
            pl.col(name).fill_null(0).cum_sum()
            for name in ("up_bytes", "down_bytes", "energy_j", "energy_low_j", "energy_high_j")
        ),
        *measured,
    )
    return running.filter(pl.col(metric.name).is_not_null() | pl.col("loss").is_not_null())


def first_reached(
    curve: pl.DataFrame, metric: Metric, targets: Sequence[float] | None = None, at_most: int = 6
) -> pl.DataFrame:
    """Return, for each value of the metric that was reached, the first round that reached it and its cost until then.

    The first column is `target`, the others are those of `learning_curve`; the `at_most` hardest targets are kept.
    Without `targets` they are the round values that suit the curve, else they go from easy to hard.
    """
    asked = measure.levels(metric, curve[metric.name]) if targets is None else targets
    rows = [
        found.head(1).select(pl.lit(target).alias("target"), pl.all())
        for target in asked
        if (found := curve.filter(measure.reached(metric, pl.col(metric.name), target))).height
    ]
    empty = curve.clear().select(pl.lit(0.0).alias("target"), pl.all())
    return pl.concat(rows[-at_most:]) if rows else empty


def outcome_counts(clients: pl.LazyFrame) -> pl.DataFrame:
    """Return one row per outcome, most frequent first: outcome, jobs, share, devices, energy_j."""
    counted = (
        clients.group_by("outcome")
        .agg(pl.len().alias("jobs"), pl.col("device").n_unique().alias("devices"), pl.col("energy_j").sum())
        .collect()
    )
    return counted.with_columns((pl.col("jobs") / pl.col("jobs").sum()).alias("share")).sort(
        ["jobs", "outcome"], descending=[True, False]
    )


def by_class(clients: pl.LazyFrame, column: str = "profile") -> pl.DataFrame:
    """Return sums and means of the jobs of each device class, in order of class name.

    Columns: the class column, tier, jobs, arrived, late, surplus (not needed any more), lost, devices; sums of
    compute_j, radio_j, tail_j, energy_j, energy_low_j, energy_high_j, battery_j, mains_j, down_bytes, up_bytes,
    down_raw_bytes, up_raw_bytes, metered_bytes; lost_j (energy of jobs that did not arrive); mean down_s, train_s, up_s
    of jobs that arrived; peak_bytes (largest).
    """
    arrived = pl.col("outcome") == "arrived"
    sums = (
        *("compute_j", "radio_j", "tail_j", "energy_j", "energy_low_j", "energy_high_j", "battery_j", "mains_j"),
        *("down_bytes", "up_bytes", "down_raw_bytes", "up_raw_bytes"),
    )
    return (
        clients.group_by(column)
        .agg(
            pl.len().alias("jobs"),
            arrived.sum().alias("arrived"),
            (pl.col("outcome") == Outcome.LATE).sum().alias("late"),
            pl.col("outcome").is_in(NOT_NEEDED).sum().alias("surplus"),
            pl.col("device").n_unique().alias("devices"),
            *(pl.col(name).sum() for name in sums),
            (pl.col("down_bytes") + pl.col("up_bytes")).filter(pl.col("metered")).sum().alias("metered_bytes"),
            pl.col("energy_j").filter(~arrived).sum().alias("lost_j"),
            *(pl.col(name).filter(arrived).mean() for name in ("down_s", "train_s", "up_s")),
            pl.col("peak_bytes").max(),
        )
        .with_columns((pl.col("jobs") - pl.col("arrived") - pl.col("late") - pl.col("surplus")).alias("lost"))
        .sort(column)
        .collect()
    )


def spread(clients: pl.LazyFrame, value: pl.Expr, column: str = "profile") -> pl.DataFrame:
    """Return the distribution of `value` over the jobs of each class: jobs, mean, and the columns of `QUANTILES`."""
    return (
        clients.with_columns(value.alias("value"))
        .filter(pl.col("value").is_finite())
        .group_by(column)
        .agg(
            pl.len().alias("jobs"),
            pl.col("value").mean().alias("mean"),
            *(pl.col("value").quantile(at, "linear").alias(name) for name, at in QUANTILES.items()),
        )
        .sort(column)
        .collect()
    )


JOB_TIME: Final = pl.col("end_s") - pl.col("start_s")
"""Seconds of virtual time a job took, waiting included."""
CHARGE_USED: Final = pl.col("battery_j") / pl.col("battery_before_j")
"""Part of the charge a device had that one job drew."""


def last_in_round(clients: pl.LazyFrame, column: str = "profile") -> pl.DataFrame:
    """Return in how many rounds a class sent the last update that arrived: the class the others waited for."""
    return (
        clients.filter(pl.col("outcome") == "arrived")
        .sort("round", "end_s", "device")
        .group_by("round")
        .agg(pl.col(column).last())
        .group_by(column)
        .agg(pl.len().alias("rounds_last"))
        .sort(column)
        .collect()
    )


def burden(clients: pl.LazyFrame) -> pl.DataFrame:
    """Return one row: what whole devices bore in the run, over devices that were asked at least once.

    Columns: devices, energy_j_median, energy_j_p95, energy_j_most, jobs_median, jobs_most.
    """
    per_device = clients.group_by("device").agg(pl.col("energy_j").sum(), pl.len().alias("jobs"))
    return per_device.select(
        pl.len().alias("devices"),
        pl.col("energy_j").median().alias("energy_j_median"),
        pl.col("energy_j").quantile(0.95, "linear").alias("energy_j_p95"),
        pl.col("energy_j").max().alias("energy_j_most"),
        pl.col("jobs").median().alias("jobs_median"),
        pl.col("jobs").max().alias("jobs_most"),
    ).collect()


def battery_levels(clients: pl.LazyFrame, column: str = "profile") -> pl.DataFrame:
    """Return battery charge by class.

    Columns: jobs; before_j and after_j (medians); least_after_j; fullest_j; used and used_most (parts of the charge).
    """
    return (
        clients.filter(pl.col("battery_before_j").is_finite())
        .group_by(column)
        .agg(
            pl.len().alias("jobs"),
            pl.col("battery_before_j").median().alias("before_j"),
            pl.col("battery_after_j").median().alias("after_j"),
            pl.col("battery_after_j").min().alias("least_after_j"),
            pl.col("battery_before_j").max().alias("fullest_j"),
            CHARGE_USED.median().alias("used"),
            CHARGE_USED.max().alias("used_most"),
        )
        .sort(column)
        .collect()
    )


@dataclass(frozen=True)
class Fairness:
    """How evenly the final model serves the clients, in the main metric; not-a-number without clients."""

    clients: int
    mean: float
    deviation: float
    worst: float
    """Mean of the worst tenth of the clients (at least one)."""
    best: float
    """Mean of the best tenth."""


def fairness(evaluation: pl.DataFrame, metric: Metric) -> Fairness:
    """Return the spread of the metric over clients, each client counted once."""
    values = evaluation[metric.name].drop_nulls().drop_nans().sort(descending=metric.goal == "min")
    if values.is_empty():
        return Fairness(0, math.nan, math.nan, math.nan, math.nan)
    tenth = worst_count(values.len())
    return Fairness(
        clients=values.len(),
        mean=float(values.to_numpy().mean()),
        deviation=float(values.to_numpy().std()),
        worst=float(values.head(tenth).to_numpy().mean()),
        best=float(values.tail(tenth).to_numpy().mean()),
    )


def worst_count(clients: int) -> int:
    """Return how many clients the worst tenth holds: rounded up, at least one."""
    return max(1, math.ceil(clients / 10))


def thinned(frame: pl.DataFrame, at_most: int) -> pl.DataFrame:
    """Return at most `at_most` rows spread evenly over the frame, the first and the last among them."""
    if frame.height <= at_most:
        return frame
    return frame[[round(i * (frame.height - 1) / (at_most - 1)) for i in range(at_most)]]


def binned_rounds(rounds: pl.DataFrame, at_most: int = 120) -> pl.DataFrame:
    """Return rounds summed into at most `at_most` equal bins: first, last, counts of jobs, mean length_s.

    Round 0, the evaluation before any training, is left out.
    """
    width = max(1, math.ceil((rounds["round"] > 0).sum() / at_most))
    return (
        rounds.filter(pl.col("round") > 0)
        .sort("round")
        .with_row_index("position")
        .group_by((pl.col("position") // width).alias("bin"))
        .agg(
            pl.col("round").first().alias("first"),
            pl.col("round").last().alias("last"),
            pl.col("arrived", "late", "surplus", "failed", "selected").sum(),
            (pl.col("end_s") - pl.col("start_s")).mean().alias("length_s"),
        )
        .sort("bin")
        .drop("bin")
    )


def downloads(clients: pl.LazyFrame) -> list[NDArray[np.float64]]:
    """Return begin, length and bytes of what was sent to each job, seconds and bytes, each of shape (jobs,)."""
    sent = clients.select(pl.col("start_s", "down_s", "down_bytes").cast(pl.Float64)).collect()
    return [column.to_numpy() for column in sent]


def metric_by_class(
    evaluation: pl.DataFrame, clients: pl.LazyFrame, metric: Metric, column: str = "profile"
) -> pl.DataFrame:
    """Return the spread of the clients' metric by device class; clients whose device never had a job are left out."""
    classes = clients.select(pl.col("device").cast(pl.Int64), column).unique(subset="device", keep="first")
    held = evaluation.lazy().with_columns(pl.col("device").cast(pl.Int64)).join(classes, on="device", how="inner")
    return spread(held, pl.col(metric.name), column)
