"""Each partition rule does what its name says, and says what is wrong when it can not."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.errors import UnknownNameError
from fedlite.learning.data.label_skew import label_counts, label_skew
from fedlite.learning.data.partition import PARTITIONS, natural_owners, partition
from fedlite.learning.data.partition_error import PartitionError
from fedlite.learning.data.rebalance import rounded_shares, top_up

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 600)).astype(np.int64)
OWNERS = np.random.default_rng(1).integers(0, 12, 6000).astype(np.int64) * 3


def sizes_of(parts):
    return np.array([len(part) for part in parts])


def test_iid_sizes_differ_by_at_most_one():
    sizes = sizes_of(partition("iid", LABELS, None, 7, 0))
    assert sizes.max() - sizes.min() <= 1


def test_iid_clients_look_like_the_whole():
    assert label_skew(partition("iid", LABELS, None, 10, 0), LABELS, 10).distance_max < 0.1


def test_a_smaller_alpha_gives_more_label_skew():
    skew = [
        label_skew(partition("dirichlet", LABELS, None, 50, 0, alpha=alpha), LABELS, 10).distance_mean
        for alpha in (0.05, 0.5, 5.0, 500.0)
    ]
    assert skew == sorted(skew, reverse=True)
    assert skew[0] > 0.7
    assert skew[-1] < 0.1


def test_dirichlet_label_shares_have_the_variance_of_the_distribution():
    """A client's share of a class is a Beta(a, (n-1) a) variable: mean 1/n, variance (n-1)/(n^2 (n a + 1))."""
    n, alpha = 20, 0.5
    shares = np.concatenate(
        [
            label_counts(partition("dirichlet", LABELS, None, n, seed, alpha=alpha), LABELS, 10) / 600
            for seed in range(40)
        ]
    )
    assert shares.mean() == pytest.approx(1 / n)
    assert shares.var() == pytest.approx((n - 1) / (n**2 * (n * alpha + 1)), rel=0.1)


@pytest.mark.parametrize("min_size", [1, 10, 60, 120])
def test_dirichlet_honours_the_smallest_size_even_at_extreme_skew(min_size):
    assert sizes_of(partition("dirichlet", LABELS, None, 50, 0, alpha=0.01, min_size=min_size)).min() >= min_size


def test_shards_give_equal_sizes_and_few_classes():
    parts = partition("shards", LABELS, None, 50, 0, per_client=2)
    assert set(sizes_of(parts)) == {120}
    assert (label_counts(parts, LABELS, 10) > 0).sum(axis=1).max() <= 4


def test_pathological_clients_hold_exactly_the_classes_asked_for():
    for k in (1, 2, 5, 10):
        held = label_counts(partition("pathological", LABELS, None, 30, 0, classes_per_client=k), LABELS, 10) > 0
        assert set(held.sum(axis=1)) == {k}
        users = held.sum(axis=0)
        assert users.max() - users.min() <= 1


def test_quantity_skew_is_in_the_sizes_and_not_in_the_classes():
    parts = partition("quantity", LABELS, None, 10, 0, sigma=1.0, min_size=200)
    sizes = sizes_of(parts)
    assert sizes.max() > 2 * sizes.min()
    assert sizes.min() >= 200
    assert label_skew(parts, LABELS, 10).distance_max < 0.1


def test_quantity_without_spread_is_even():
    assert set(sizes_of(partition("quantity", LABELS, None, 10, 0, sigma=0.0))) == {600}


def test_a_power_law_follows_its_exponent():
    sizes = np.sort(sizes_of(partition("quantity", LABELS, None, 10, 0, exponent=1.0)))[::-1]
    wanted = 1 + 5990 / np.arange(1, 11) / np.sum(1 / np.arange(1, 11))
    assert np.allclose(sizes, wanted, atol=1)


def test_natural_clients_are_the_owners():
    parts = partition("natural", LABELS, OWNERS, 12, 0)
    assert [set(OWNERS[part]) for part in parts] == [{3 * i} for i in range(12)]


def test_with_more_clients_owners_are_shared_in_turn():
    parts = partition("natural", LABELS, OWNERS, 30, 0)
    for client in range(30):
        assert np.array_equal(parts[client], parts[client % 12])


def test_with_fewer_clients_a_random_subset_of_owners_takes_part():
    chosen = {tuple(natural_owners(OWNERS, 5, seed)) for seed in range(10)}
    assert len(chosen) > 1
    assert all(len(set(owners)) == 5 for owners in chosen)
    parts = partition("natural", LABELS, OWNERS, 5, 3)
    assert [set(OWNERS[part]) for part in parts] == [{owner} for owner in natural_owners(OWNERS, 5, 3)]


@pytest.mark.parametrize("kind", sorted(set(PARTITIONS) - {"natural", "flwr_datasets"}))
def test_another_seed_deals_otherwise(kind):
    first, second = (partition(kind, LABELS, None, 10, seed) for seed in (1, 2))
    assert any(not np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("kind", "n_clients", "options", "text"),
    [
        ("iid", 6001, {}, "6000 rows for 6001 clients"),
        ("iid", 0, {}, "at least 1"),
        ("iid", 5, {"alpha": 1.0}, "got option 'alpha', expected no option"),
        ("dirichlet", 5, {"beta": 1.0}, "expected alpha or min_size"),
        ("dirichlet", 5, {"alpha": 0.0}, "alpha"),
        ("dirichlet", 600, {"min_size": 11}, "lower min_size"),
        ("dirichlet", 5, {"min_size": 0}, "min_size"),
        ("shards", 5, {"per_client": 0}, "per_client"),
        ("shards", 4000, {"per_client": 2}, "one row each"),
        ("quantity", 5, {"sigma": 1.0, "exponent": 1.0}, "one of them"),
        ("quantity", 5, {"sigma": -1.0}, "sigma"),
        ("quantity", 5, {"exponent": -1.0}, "exponent"),
        ("pathological", 5, {"classes_per_client": 11}, "1 to 10"),
        ("pathological", 4, {"classes_per_client": 2}, "places"),
        ("pathological", 3001, {"classes_per_client": 10}, "a row for each"),
        ("natural", 5, {}, "without natural owners"),
    ],
)
def test_a_rule_that_can_not_be_kept_is_refused(kind, n_clients, options, text):
    with pytest.raises(PartitionError, match=text):
        partition(kind, LABELS, None, n_clients, 0, **options)


def test_an_unknown_rule_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"dirichlet.*iid"):
        partition("dirchlet", LABELS, None, 5, 0)


def test_rounded_shares_go_to_the_largest_remainders():
    assert rounded_shares(np.array([0.5, 0.3, 0.2]), 4).tolist() == [2, 1, 1]
    assert rounded_shares(np.array([0.26, 0.26, 0.48]), 10).tolist() == [3, 2, 5]
    assert rounded_shares(np.array([1.0, 0.0]), 0).tolist() == [0, 0]


def test_top_up_takes_from_the_largest_only():
    client = np.array([0] * 10 + [1] * 6 + [2] * 4)
    sizes = np.bincount(top_up(client, 4, 3, np.random.default_rng(0)), minlength=4)
    assert sizes.tolist() == [7, 6, 4, 3]


def test_label_skew_measures_sizes_and_distance():
    labels = np.array([0, 0, 1, 1])
    apart = label_skew([np.array([0, 1]), np.array([2, 3]), np.array([], dtype=np.int64)], labels, 2)
    assert (apart.clients, apart.rows, apart.size_min, apart.size_median, apart.size_max) == (3, 4, 0, 2.0, 2)
    assert (apart.classes_mean, apart.distance_mean, apart.distance_max) == (1.0, 0.5, 0.5)
    alike = label_skew([np.array([0, 2]), np.array([1, 3])], labels, 2)
    assert (alike.classes_mean, alike.distance_mean) == (2.0, 0.0)
