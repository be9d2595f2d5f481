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
    found = trade_offs({"int4": same_cost(1, 0.823, 0.815, 0.82), "fp32": same_cost(2, 0.810, 0.825, 0.815)})
    assert found.leader == "int4"
    assert found.best is None
    assert found.level_with_leader == ["fp32"]


def test_nobody_is_best_of_single_seeds_or_alone():
    assert trade_offs({"a": same_cost(1, 0.9), "b": same_cost(1, 0.1)}).best is None
    assert trade_offs({"a": same_cost(1, 0.9, 0.91, 0.9)}).best is None
    untested = trade_offs({"a": [(math.nan, 1.0)]})
    assert (untested.leader, untested.best, untested.front("cost")) == (None, None, [])


def by_seed(settings):
    """Return those of label -> {seed: accuracy}, all of one cost."""
    rows = [
        {"label": label, "seed": seed, "accuracy": value, "cost": 1.0}
        for label, values in settings.items()
        for seed, value in values.items()
    ]
    return TradeOffs(pl.DataFrame(rows), ACCURACY)


def test_settings_are_compared_on_the_seeds_that_both_have():
    """As after a Ctrl-C: b has the seeds on which all is easy, and is worse on each of them."""
    a = {1: 0.60, 2: 0.61, 3: 0.62, 4: 0.90, 5: 0.91, 6: 0.92}
    found = by_seed({"a": a, "b": {seed: a[seed] - 0.02 - seed * 1e-4 for seed in (4, 5, 6)}})
    assert (found.leader, found.best) == ("a", "a")
    assert found.seeds_of_leader == (3, 3)
    assert not found.has_same_seeds
    assert found.front("cost") == ["a"]
    swapped = by_seed({"b": {seed: a[seed] - 0.02 - seed * 1e-4 for seed in (4, 5, 6)}, "a": a})
    assert (swapped.leader, swapped.front("cost")) == ("a", ["a"])


def test_nobody_is_best_of_settings_without_a_common_seed():
    found = by_seed({"a": {1: 0.9, 2: 0.91, 3: 0.9}, "b": {4: 0.1, 5: 0.11, 6: 0.1}})
    assert found.best is None
    assert found.front("cost") == ["a", "b"]


def test_nobody_is_best_who_is_told_to_be_worse_than_one():
    """Each of the three is ahead of another on the seeds that the two share."""
    high, low = {0: 0.9, 1: 0.9, 2: 0.901}, {0: 0.1, 1: 0.1, 2: 0.1}
    on = [{3 * part + seed: value for seed, value in values.items()} for part in range(3) for values in (high, low)]
    found = by_seed({"a": on[0] | on[5], "b": on[1] | on[2], "c": on[3] | on[4]})
    assert all(found.better(*pair).is_better for pair in (("a", "b"), ("b", "c"), ("c", "a")))
    assert found.best is None


def test_last_digits_make_no_leader_best():
    assert by_seed({"a": dict.fromkeys((1, 2, 3), 0.3), "b": dict.fromkeys((1, 2, 3), 0.1 + 0.2)}).best is None


def test_pairs_are_corrected_for_how_many_there_are():
    found = trade_offs({"a": same_cost(1, 0.80, 0.82, 0.81), "b": same_cost(1, 0.79, 0.8135, 0.7965), "c": same_cost(
        1, 0.7865, 0.81, 0.8035)})  # fmt: skip
    differences = found.pairs()
    assert list(differences) == [("a", "b"), ("a", "c"), ("b", "c")]
    difference, p = differences["a", "b"]
    assert difference.is_told_apart
    assert p > 0.05 > difference.p
    assert found.pairs([("a", "b")])["a", "b"][1] == difference.p


def test_whoever_is_beaten_may_beat_others():
    """`mid` varies too much to be told better than `low`, but is as good as `dear` for less."""
    found = trade_offs(
        {
            "low": same_cost(1, 0.70, 0.70, 0.70),
            "mid": same_cost(4, 0.70, 0.76, 0.80),
            "dear": same_cost(5, 0.75, 0.75, 0.751),
        }
    )
    assert not found.better("mid", "low").is_better
    assert found.better("dear", "low").is_better
    assert found.front("cost") == ["low"]


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


def test_a_worse_setting_is_not_saved_by_costs_that_differ_by_noise():
    worse = [(0.55, 1.000), (0.56, 1.002), (0.54, 0.999)]
    better = [(0.73, 1.001), (0.74, 1.001), (0.72, 1.000)]
    assert trade_offs({"worse": worse, "better": better}).front("cost") == ["better"]
    # Told to be cheaper, or cheaper by a tenth, it stays.
    cheaper = [(gain, cost - 0.01) for gain, cost in better]
    assert trade_offs({"worse": [(g, c[1]) for (g, _), c in zip(worse, cheaper, strict=True)], "better": better}).front(
        "cost"
    ) == ["worse", "better"]
    loose = [(0.55, 0.8), (0.56, 1.1), (0.54, 0.5)]
    assert trade_offs({"worse": loose, "better": better}).front("cost") == ["worse", "better"]


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
