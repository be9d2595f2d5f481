"""Intervals, paired differences and Holm's procedure against scipy and against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fedlite.report.noise import at_once, interval, paired
from fedlite.rng import stream


@pytest.mark.parametrize("seeds", [3, 4, 10])
def test_the_interval_of_a_mean_is_students(seeds):
    values = stream(seeds, "values").normal(0.8, 0.02, seeds)
    found = interval(values.tolist())
    low, high = stats.t.interval(0.95, seeds - 1, values.mean(), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_a_single_seed_has_a_mean_and_no_interval():
    found = interval([0.8])
    assert found.mean == 0.8
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(interval([]).mean)
    assert interval([0.8, math.nan]).mean == 0.8


def test_two_seeds_that_agree_tell_nothing():
    """Whole test rows let them agree in one study of ten, where nothing differs."""
    found = paired({1: 0.81, 2: 0.82}, {1: 0.80, 2: 0.81})
    assert (found.p, found.seeds) == (1.0, 2)
    assert math.isnan(found.low)


def test_pairs_are_compared_on_the_seeds_that_both_have():
    rng = stream(1, "pairs")
    shared = rng.normal(0.7, 0.1, 5)
    mine, others = shared + 0.02 + rng.normal(0, 0.004, 5), shared
    found = paired(dict(enumerate([*mine, 0.1])), dict(enumerate([*others, math.nan])))
    expected = stats.ttest_rel(mine, others)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.seeds == 5
    # What the seeds do to both would hide it from a test of two samples.
    assert found.is_told_apart
    assert stats.ttest_ind(mine, others).pvalue > 0.05


def test_the_interval_excludes_zero_where_settings_are_told_apart_and_only_there():
    rng = stream(2, "shifts")
    for _ in range(200):
        differences = rng.normal(0.01, 0.01, 3)
        found = paired(dict(enumerate(differences)), dict.fromkeys(range(3), 0.0))
        assert found.is_told_apart == (found.low > 0 or found.high < 0)


def test_equal_runs_are_not_told_apart_and_a_constant_difference_is():
    same = {1: 0.5, 2: 0.6, 3: 0.7}
    assert not paired(same, same).is_told_apart
    assert paired(same, {seed: value - 0.01 for seed, value in same.items()}).is_told_apart
    one = paired({1: 0.9}, {1: 0.1})
    assert not one.is_told_apart
    assert one.p == 1.0


def test_last_digits_are_no_difference():
    mine, others = dict.fromkeys(range(3), 0.1 + 0.2), dict.fromkeys(range(3), 0.3)
    assert mine != others
    assert (paired(mine, others).mean, paired(mine, others).p) == (0.0, 1.0)
    # Nor do they make a small difference of large numbers certain beyond what the numbers themselves can say.
    large = [{seed: 1e9 + 1.0 + shift + seed * 1e-7 for seed in range(3)} for shift in (0.0, 1.0)]
    assert paired(*large).p == 1.0


def test_one_pair_in_twenty_is_told_apart_where_nothing_differs():
    rng = stream(3, "null")
    draws = rng.normal(size=(2000, 3))
    found = np.mean([paired(dict(enumerate(row)), dict.fromkeys(range(3), 0.0)).is_told_apart for row in draws])
    assert abs(found - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 2000)


def test_of_skewed_costs_an_interval_holds_the_mean_less_often_than_it_says():
    """As the page of studies warns: 84 of 100 for three draws of a log-normal law of width 1."""
    draws = np.exp(stream(5, "skewed").normal(size=(4000, 3)))
    ends = [(found.low, found.high) for found in map(interval, draws.tolist())]
    covered = np.mean([low < math.exp(1 / 2) < high for low, high in ends])
    assert abs(covered - 0.84) < 4 * math.sqrt(0.84 * 0.16 / 4000)


@pytest.mark.parametrize(
    ("ps", "expected"),
    [
        ([0.04], [0.04]),
        ([0.01, 0.02], [0.02, 0.02]),
        ([0.04, 0.03], [0.06, 0.06]),
        ([0.017, 0.049, 0.024], [0.051, 0.051, 0.051]),
        ([0.9, 0.001, 0.8], [1.0, 0.003, 1.0]),
        ([], []),
    ],
)
def test_tests_that_are_looked_at_together_are_corrected_by_holms_steps(ps, expected):
    assert at_once(ps) == pytest.approx(expected)


def test_among_many_pairs_where_nothing_differs_one_is_told_apart_in_twenty_studies_at_most():
    rng = stream(4, "many")
    alone = together = 0
    for draws in rng.normal(size=(400, 7, 3)):
        ps = [paired(dict(enumerate(row)), dict(enumerate(draws[0]))).p for row in draws[1:]]
        alone += min(ps) < 0.05
        together += min(at_once(ps)) < 0.05
    assert alone / 400 > 0.12
    assert together / 400 < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 400)
