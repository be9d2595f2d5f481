"""What so many rehearsals show of a percentile and of a chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlite.rollout.bounds import chance_at_least, fewest, percentile_at_least, percentile_at_most


def at_least(hits, n, chance):
    return sum(math.comb(n, i) * chance**i * (1 - chance) ** (n - i) for i in range(hits, n + 1))


@pytest.mark.parametrize(
    ("share", "alpha", "n"), [(0.95, 0.05, 59), (0.95, 0.0125, 86), (0.9, 0.05, 29), (0.0, 0.05, 1)]
)
def test_a_bound_needs_so_many(share, alpha, n):
    assert fewest(share, alpha) == n
    values = np.arange(float(n))
    assert percentile_at_most(values, share, alpha) == n - 1
    assert n == 1 or percentile_at_most(values[1:], share, alpha) == math.inf


@pytest.mark.parametrize("n", [92, 93, 100, 339])
def test_a_percentiles_bound_is_the_first_value_that_is_high_enough(n):
    k = 1 + percentile_at_most(np.random.default_rng(n).permutation(n).astype(float), 0.95, 0.05)
    assert at_least(int(k), n, 0.95) <= 0.05 < at_least(int(k) - 1, n, 0.95)


def test_a_percentiles_bound_errs_no_more_often_than_told_whatever_the_law():
    rng = np.random.default_rng(7)
    for drawn, true in ((rng.integers(0, 20, (4000, 120)), 18.0), (rng.exponential(1.0, (4000, 120)), -math.log(0.05))):
        wrong = np.mean([percentile_at_most(values.astype(float), 0.95, 0.05) < true for values in drawn])
        assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
        wrong = np.mean([percentile_at_least(values.astype(float), 0.95, 0.05) > true for values in drawn])
        assert 0.0 < wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
    # Two of two above are one in four hundred.
    assert percentile_at_least(np.array([3.0, 4.0]), 0.95, 0.0025 + 1e-9) == 3.0
    assert percentile_at_least(np.array([3.0, 4.0]), 0.95, 0.002) == -math.inf


@pytest.mark.parametrize(("hits", "n"), [(59, 59), (90, 100), (1, 7)])
def test_a_chances_bound_makes_what_was_seen_as_rare_as_told(hits, n):
    assert at_least(hits, n, chance_at_least(hits, n, 0.05)) == pytest.approx(0.05)


def test_nothing_seen_shows_nothing():
    assert chance_at_least(0, 100, 0.05) == 0.0
    assert percentile_at_most(np.zeros(0), 0.95, 0.05) == math.inf
