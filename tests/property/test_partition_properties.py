"""Whatever the labels, the number of clients and the seed: a synthetic partition deals every row to one client."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedlite.learning.data.dataset import Dataset
from fedlite.learning.data.held_out import held_out_parts
from fedlite.learning.data.label_skew import label_counts
from fedlite.learning.data.partition import partition
from fedlite.learning.data.partition_error import PartitionError
from fedlite.learning.data.rebalance import rounded_shares, top_up

labels_of = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(lambda values: np.array(values, dtype=np.int64))
seeds = st.integers(0, 2**31)
rules = st.one_of(
    st.tuples(st.just("iid"), st.just({})),
    st.tuples(st.just("dirichlet"), st.fixed_dictionaries({"alpha": st.floats(1e-3, 1e3)})),
    st.tuples(st.just("shards"), st.fixed_dictionaries({"per_client": st.integers(1, 3)})),
    st.tuples(st.just("quantity"), st.fixed_dictionaries({"sigma": st.floats(0, 3)})),
    st.tuples(st.just("quantity"), st.fixed_dictionaries({"exponent": st.floats(0, 3)})),
    st.tuples(st.just("pathological"), st.fixed_dictionaries({"classes_per_client": st.integers(1, 3)})),
)


@given(labels=labels_of, n_clients=st.integers(1, 60), seed=seeds, rule=rules)
def test_every_row_has_one_client_and_no_client_nothing(labels, n_clients, seed, rule):
    kind, options = rule
    try:
        parts = partition(kind, labels, None, n_clients, seed, **options)
    except PartitionError:
        assume(False)  # too few rows for this rule: the unit tests check that it says so
    assert len(parts) == n_clients
    assert min(map(len, parts)) >= 1
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert all(part.dtype == np.int64 and np.all(np.diff(part) > 0) for part in parts)


@given(labels=labels_of, n_clients=st.integers(1, 60), seed=seeds)
def test_iid_fails_only_if_there_are_fewer_rows_than_clients(labels, n_clients, seed):
    if len(labels) < n_clients:
        with pytest.raises(PartitionError, match="fewer clients"):
            partition("iid", labels, None, n_clients, seed)
    else:
        assert len(partition("iid", labels, None, n_clients, seed)) == n_clients


@given(labels=labels_of, n_clients=st.integers(1, 30), seed=seeds, rule=rules)
def test_asking_twice_gives_the_same_split(labels, n_clients, seed, rule):
    kind, options = rule
    try:
        first = partition(kind, labels, None, n_clients, seed, **options)
    except PartitionError:
        assume(False)
    second = partition(kind, labels.copy(), None, n_clients, seed, **options)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@given(labels=labels_of, n_clients=st.integers(1, 30), seed=seeds, alpha=st.floats(1e-3, 10), data=st.data())
def test_every_smallest_size_that_can_be_honoured_is(labels, n_clients, seed, alpha, data):
    assume(len(labels) >= n_clients)
    floor = data.draw(st.integers(1, len(labels) // n_clients))
    for kind, options in (("dirichlet", {"alpha": alpha}), ("quantity", {"sigma": 2.0})):
        parts = partition(kind, labels, None, n_clients, seed, min_size=floor, **options)
        assert min(map(len, parts)) >= floor


@given(owners=labels_of, n_clients=st.integers(1, 20), seed=seeds)
def test_natural_clients_never_mix_owners(owners, n_clients, seed):
    parts = partition("natural", np.zeros(len(owners), dtype=np.int64), owners, n_clients, seed)
    held = [set(owners[part].tolist()) for part in parts]
    assert all(len(each) == 1 for each in held)
    assert len(set().union(*held)) == min(n_clients, len(set(owners.tolist())))


@given(weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50), total=st.integers(0, 10_000))
def test_rounded_shares_add_up_and_are_off_by_less_than_one(weights, total):
    shares = np.array(weights) / np.sum(weights)
    sizes = rounded_shares(shares, total)
    assert sizes.sum() == total
    assert np.abs(sizes - shares * total).max() < 1 + 1e-6


@given(client=labels_of, seed=seeds, floor=st.integers(0, 20))
def test_top_up_moves_no_more_rows_than_are_lacking(client, seed, floor):
    assume(len(client) >= 6 * floor)
    before = np.bincount(client, minlength=6)
    moved = top_up(client, 6, floor, np.random.default_rng(seed))
    after = np.bincount(moved, minlength=6)
    assert after.min() >= floor
    assert (moved != client).sum() == np.maximum(floor - before, 0).sum()


@settings(max_examples=40)
@given(train=labels_of, test=labels_of, n_clients=st.integers(1, 20), seed=seeds)
def test_synthetic_clients_share_the_test_rows_of_their_classes(train, test, n_clients, seed):
    assume(len(train) >= n_clients)
    made = Dataset(
        name="made",
        x_train=np.zeros((len(train), 1), np.float32),
        y_train=train,
        x_test=np.zeros((len(test), 1), np.float32),
        y_test=test,
        client_train=None,
        client_test=None,
        num_classes=6,
        input_shape=(1,),
        licence="none",
        source="this test",
    )
    parts = partition("dirichlet", train, None, n_clients, seed, alpha=0.3)
    shares = held_out_parts("dirichlet", parts, made, seed)
    assert len(shares) == n_clients
    dealt = np.sort(np.concatenate(shares))
    assert np.array_equal(dealt, np.flatnonzero(np.isin(test, train)))  # a class nobody trains on is nobody's
    assert not np.any((label_counts(shares, test, 6) > 0) & (label_counts(parts, train, 6) == 0))
