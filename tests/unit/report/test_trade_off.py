"""Who is called best, and who is on a front, as far as the seeds of a study tell."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlite.learning.objectives import Metric
from fedlite.learning.objectives.base import SHARE
from fedlite.report.trade_off import TradeOffs

ACCURACY, RMSE = Metric("accuracy", "max", SHARE), Metric("rmse", "min")


def trade_offs(settings, metric=ACCURACY):
    """Return those of settings as label -> [(metric, cost) of seed 1, of seed 2, ...]."""
    rows = [
        {"label": label, "seed": seed, metric.name: gain, "cost": cost}
        for label, values in settings.items()
        for seed, (gain, cost) in enumerate(values, start=1)
    ]
    return TradeOffs(pl.DataFrame(rows, schema_overrides={metric.name: pl.Float64, "cost": pl.Float64}), metric)


def same_cost(cost, *gains):
    return [(gain, cost) for gain in gains]


def test_the_best_is_told_apart_from_all_others():
    found = trade_offs(
        {"a": same_cost(1, 0.80, 0.82, 0.81), "b": same_cost(1, 0.70, 0.721, 0.71), "c": same_cost(1, 0.6, 0.62, 0.611)}
    )
    assert (found.leader, found.best, found.level_with_leader) == ("a", "a", [])


def test_nobody_is_best_within_the_noise():
    found = trade_offs({"int4": same_cost(1, 0.823, 0.815), "fp32": same_cost(2, 0.810, 0.825)})
    assert found.leader == "int4"
    assert found.best is None
    assert found.level_with_leader == ["fp32"]


def test_nobody_is_best_of_single_seeds_or_alone():
    assert trade_offs({"a": same_cost(1, 0.9), "b": same_cost(1, 0.1)}).best is None
    assert trade_offs({"a": same_cost(1, 0.9, 0.91, 0.9)}).best is None
    untested = trade_offs({"a": [(math.nan, 1.0)]})
    assert (untested.leader, untested.best, untested.front("cost")) == (None, None, [])


def test_of_errors_the_smallest_is_best():
    found = trade_offs({"a": same_cost(1, 0.5, 0.51, 0.52), "b": same_cost(1, 0.3, 0.31, 0.325)}, RMSE)
    assert (found.leader, found.best) == ("b", "b")
    assert found.better("b", "a").mean == pytest.approx(0.1983, abs=1e-3)


def test_a_setting_that_is_not_told_apart_from_a_much_cheaper_one_is_off_the_front():
    dear, cheap = same_cost(10, 0.82, 0.80, 0.83), same_cost(1, 0.81, 0.81, 0.82)
    assert trade_offs({"dear": dear, "cheap": cheap}).front("cost") == ["cheap"]
    # Little cheaper is no reason to give up what may be better.
    assert trade_offs({"dear": dear, "cheap": [(gain, 9.9) for gain, _ in cheap]}).front("cost") == ["cheap", "dear"]


def test_a_setting_that_is_told_apart_from_all_cheaper_ones_stays():
    better = same_cost(10, 0.90, 0.905, 0.91)
    found = trade_offs({"better": better, "cheap": same_cost(1, 0.80, 0.807, 0.81)})
    assert found.front("cost") == ["cheap", "better"]


def test_steps_too_small_to_tell_do_not_hide_a_large_one():
    rising = {
        "low": same_cost(1, 0.70, 0.72, 0.74),
        "mid": same_cost(2, 0.73, 0.71, 0.76),
        "high": same_cost(4, 0.76, 0.78, 0.80),
    }
    found = trade_offs(rising)
    assert not found.better("mid", "low").is_told_apart
    assert not found.better("high", "mid").is_told_apart
    assert found.better("high", "low").is_told_apart
    assert found.front("cost") == ["low", "high"]


def test_a_worse_and_dearer_setting_is_beaten():
    found = trade_offs({"good": same_cost(1, 0.8, 0.81, 0.82), "bad": same_cost(1.01, 0.7, 0.71, 0.722)})
    assert found.front("cost") == ["good"]


def test_ties_within_the_noise_stay_side_by_side():
    first, second = [(0.8, 1.0), (0.82, 1.1), (0.81, 0.9)], [(0.81, 1.05), (0.80, 0.95), (0.815, 1.02)]
    assert set(trade_offs({"a": first, "b": second}).front("cost")) == {"a", "b"}


def test_single_runs_are_judged_by_their_values():
    single = {"a": (0.5, 1.0), "b": (0.7, 2.0), "c": (0.6, 3.0), "d": (0.7, 2.5), "e": (math.nan, 0.1)}
    found = trade_offs({label: [point] for label, point in single.items()})
    assert found.front("cost") == ["a", "b"]
    smallest = trade_offs({"a": [(0.5, 1.0)], "b": [(0.3, 2.0)], "c": [(0.6, 3.0)]}, RMSE)
    assert smallest.front("cost") == ["a", "b"]


def test_a_setting_without_a_cost_is_on_no_front():
    assert trade_offs({"a": [(0.8, 1.0)], "b": [(0.9, math.nan)]}).front("cost") == ["a"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_every_single_run_is_on_the_front_or_beaten_by_one_that_is(points):
    found = trade_offs({str(place): [(float(gain), float(cost))] for place, (gain, cost) in enumerate(points)})
    front = [points[int(label)] for label in found.front("cost")]
    for label, (gain, cost) in enumerate(points):
        kept = str(label) in found.front("cost")
        beaten = any(g >= gain and c <= cost and (g, c) != (gain, cost) for g, c in front)
        assert kept != beaten
