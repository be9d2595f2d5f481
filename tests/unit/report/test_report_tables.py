"""Aggregates of the report against numbers worked out by hand."""

from __future__ import annotations

import math

import polars as pl
import pytest

from fedlite.learning.objectives import Metric
from fedlite.report import tables

NAN = float("nan")


def jobs(*rows):
    """Rows of (round, kind, device, profile, outcome, start_s, end_s, energy_j)."""
    frame = pl.DataFrame(
        rows, orient="row", schema=["round", "kind", "device", "profile", "outcome", "start_s", "end_s", "energy_j"]
    )
    return frame.with_columns(
        pl.col("energy_j").alias("battery_j"),
        (pl.col("energy_j") * 0.5).alias("energy_low_j"),
        (pl.col("energy_j") * 2.0).alias("energy_high_j"),
    ).lazy()


LEDGER = jobs(
    (1, "train", 1, "phone", "arrived", 0.0, 10.0, 4.0),
    (1, "train", 2, "watch", "arrived", 0.0, 30.0, 6.0),
    (1, "evaluate", 1, "phone", "arrived", 30.0, 31.0, 1.0),
    (2, "train", 1, "phone", "arrived", 40.0, 52.0, 5.0),
    (2, "train", 3, "phone", "late", 40.0, 90.0, 9.0),
)
ACCURACY = Metric("accuracy", "max", "share")
ROUNDS = pl.DataFrame(
    {
        "round": [1, 2, 3],
        "start_s": [0.0, 40.0, 100.0],
        "end_s": [31.0, 90.0, 130.0],
        "selected": [2, 2, 0],
        "arrived": [2, 1, 0],
        "late": [0, 1, 0],
        "surplus": [0, 0, 0],
        "failed": [0, 0, 0],
        "energy_j": [11.0, 14.0, 0.0],
        "energy_low_j": [5.5, 7.0, 0.0],
        "energy_high_j": [22.0, 28.0, 0.0],
        "up_bytes": [100, 50, 0],
        "down_bytes": [300, 200, 0],
        "accuracy": [0.42, NAN, 0.61],
        "loss": [1.5, NAN, 1.0],
        "macro_f1": [0.4, NAN, 0.6],
    }
)


def test_training_jobs_are_told_from_evaluations_and_a_run_without_training_keeps_all():
    assert tables.main_jobs(LEDGER).collect().height == 4
    only = LEDGER.filter(pl.col("kind") == "evaluate")
    assert tables.main_jobs(only).collect().height == 1


def test_a_learning_curve_adds_up_costs_over_rounds_that_were_not_evaluated_too():
    curve = tables.learning_curve(ROUNDS, ACCURACY)
    assert curve["round"].to_list() == [1, 3]
    assert curve["up_bytes"].to_list() == [100, 150]
    assert curve["energy_j"].to_list() == [11.0, 25.0]
    assert curve["energy_low_j"].to_list() == [5.5, 12.5]
    assert curve["energy_high_j"].to_list() == [22.0, 50.0]
    assert curve["time_s"].to_list() == [31.0, 130.0]


def test_an_accuracy_counts_from_the_first_round_that_reached_it():
    reached = tables.first_reached(tables.learning_curve(ROUNDS, ACCURACY), ACCURACY, [0.4, 0.5, 0.6, 0.7])
    assert reached.select("target", "round").rows() == [(0.4, 1), (0.5, 3), (0.6, 3)]


def test_time_counts_from_the_start_of_the_run():
    later = ROUNDS.with_columns(pl.col("start_s", "end_s") + 7200.0)
    assert tables.learning_curve(later, ACCURACY)["time_s"].to_list() == [31.0, 130.0]


def test_the_evaluation_before_training_is_no_round_of_jobs():
    before = ROUNDS.head(1).with_columns(pl.lit(0, dtype=pl.Int64).alias("round"))
    assert tables.binned_rounds(pl.concat([before, ROUNDS]))["first"].to_list() == [1, 2, 3]


def test_no_accuracy_reached_gives_an_empty_table_with_the_same_columns():
    reached = tables.first_reached(tables.learning_curve(ROUNDS, ACCURACY), ACCURACY, [0.9])
    assert reached.is_empty()
    assert {"target", "round", "time_s", "up_bytes"} <= set(reached.columns)


def test_outcomes_are_counted_with_energy_and_distinct_devices():
    counted = tables.outcome_counts(tables.main_jobs(LEDGER))
    assert counted.select("outcome", "jobs", "share", "devices", "energy_j").rows() == [
        ("arrived", 3, 0.75, 2, 15.0),
        ("late", 1, 0.25, 1, 9.0),
    ]


def test_a_spread_is_the_quantiles_of_each_class_and_skips_what_is_not_a_number():
    values = pl.DataFrame({"profile": ["a"] * 6, "x": [0.0, 1.0, 2.0, 3.0, 4.0, NAN]}).lazy()
    row = tables.spread(values, pl.col("x")).row(0, named=True)
    assert (row["jobs"], row["mean"], row["q05"], row["q25"], row["q50"], row["q75"]) == (5, 2.0, 0.2, 1.0, 2.0, 3.0)


def test_the_class_that_sent_last_is_the_one_a_round_waited_for():
    assert tables.last_in_round(tables.main_jobs(LEDGER)).rows() == [("phone", 1), ("watch", 1)]


def test_the_burden_of_a_device_is_the_sum_of_its_jobs():
    row = tables.burden(LEDGER).row(0, named=True)
    assert (row["devices"], row["energy_j_most"], row["energy_j_median"], row["jobs_most"]) == (3, 10.0, 9.0, 3)


def test_fairness_takes_the_worst_tenth_rounded_up():
    evaluation = pl.DataFrame({"accuracy": [0.1, 0.3, *([0.8] * 9)], "client": range(11)})
    found = tables.fairness(evaluation, ACCURACY)
    assert found.clients == 11
    assert found.worst == pytest.approx(0.2)
    assert found.best == pytest.approx(0.8)
    assert found.mean == pytest.approx(7.6 / 11)


def test_fairness_without_clients_is_not_a_number():
    found = tables.fairness(pl.DataFrame({"accuracy": [NAN]}), ACCURACY)
    assert found.clients == 0
    assert math.isnan(found.worst)


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_thinning_keeps_the_ends_and_the_order(rows):
    frame = pl.DataFrame({"x": range(rows)})
    kept = tables.thinned(frame, 5)["x"].to_list()
    assert len(kept) == min(rows, 5)
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, rows - 1)


def test_binned_rounds_lose_no_job():
    many = pl.concat([ROUNDS.with_columns(pl.col("round") + 3 * i) for i in range(100)])
    binned = tables.binned_rounds(many, 40)
    assert binned.height <= 40
    assert binned["arrived"].sum() == many["arrived"].sum()
    assert (binned["first"][0], binned["last"][-1]) == (1, 300)


def test_classes_add_up_to_the_whole_ledger(write_run):
    """Sums by class equal the sums of the ledger, column by column."""
    clients = pl.scan_parquet(write_run() / "clients.parquet")
    classes, whole = tables.by_class(clients), clients.collect()
    assert classes["jobs"].sum() == whole.height
    assert (classes["arrived"] + classes["late"] + classes["surplus"] + classes["lost"]).sum() == whole.height
    for column in ("energy_j", "compute_j", "radio_j", "battery_j", "mains_j", "up_bytes", "down_raw_bytes"):
        assert classes[column].sum() == pytest.approx(whole[column].sum())
    assert classes["lost_j"].sum() == pytest.approx(whole.filter(pl.col("outcome") != "arrived")["energy_j"].sum())
    metered = whole.filter("metered")
    assert classes["metered_bytes"].sum() == metered["up_bytes"].sum() + metered["down_bytes"].sum()
