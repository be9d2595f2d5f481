"""The watch recordings: fetched through pip, split without leaks, owned by 20 natural clients."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.learning.data import load
from fedlite.learning.data.held_out import held_out_parts
from fedlite.learning.data.partition import partition
from fedlite.learning.data.store import ensure, stored
from fedlite.learning.data.watch import CLASSES, MEMBER, STRIDE, WINDOW

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def watch():
    return load("watch")


@pytest.fixture(scope="module")
def raw():
    with np.load(ensure("watch").path) as arrays:
        return {key: arrays[key] for key in arrays.files}


def test_watch_is_fetched_into_an_empty_folder(tmp_path):
    known = ensure("watch", tmp_path)
    assert known.ready
    assert stored("watch", tmp_path) == known
    assert [path.name for path in tmp_path.iterdir()] == [known.path.name]


def test_the_recordings_are_those_of_the_publication(raw):
    """140 recordings, one for each subject, side and exercise, and 244,102 rows."""
    assert raw["rows"].shape == (244_102, 6)
    assert len(raw["lengths"]) == 140
    assert (raw["lengths"].min(), raw["lengths"].max()) == (947, 2618)
    triples = set(zip(raw["subject"].tolist(), raw["side"].tolist(), raw["exercise"].tolist(), strict=True))
    assert triples == {(subject, side, label) for subject in range(1, 11) for side in (0, 1) for label in range(7)}


def test_watch_has_3597_training_and_940_test_windows(watch):
    """4,677 windows in all, less one dropped at each of 140 cuts."""
    assert watch.x_train.shape == (3597, 6, 100)
    assert watch.x_test.shape == (940, 6, 100)
    assert watch.x_train.dtype == np.float32
    assert watch.num_classes == len(CLASSES) == 7
    assert watch.natural_clients == len(watch.client_names) == 20


def test_windows_per_client_follow_the_recordings(watch, raw):
    windows = 1 + (raw["lengths"] - WINDOW) // STRIDE
    owner = 2 * (raw["subject"] - 1) + raw["side"]
    made = np.bincount(watch.client_train) + np.bincount(watch.client_test) + 7  # one dropped for each exercise
    assert made.tolist() == np.bincount(owner, weights=windows).astype(int).tolist()
    assert made[:4].tolist() == [303, 258, 288, 252]
    assert watch.client_names[0] == "subject 1, side 0"
    assert watch.client_names[19] == "subject 10, side 1"


def test_channels_are_standardised_with_training_rows_only(watch):
    assert np.allclose(watch.x_train.mean(axis=(0, 2), dtype=np.float64), 0, atol=1e-5)
    assert np.allclose(watch.x_train.std(axis=(0, 2), dtype=np.float64), 1, atol=1e-5)
    assert np.abs(watch.x_test.mean(axis=(0, 2), dtype=np.float64)).max() > 1e-3


def test_natural_clients_hold_their_own_rows_in_both_splits(watch):
    parts = partition("natural", watch.y_train, watch.client_train, 20, seed=3)
    test_parts = held_out_parts("natural", parts, watch, seed=3)
    for client, (train, test) in enumerate(zip(parts, test_parts, strict=True)):
        assert set(watch.client_train[train]) == set(watch.client_test[test]) == {client}
    assert sum(map(len, parts)) == 3597
    assert sum(map(len, test_parts)) == 940


def test_the_same_subset_of_owners_is_judged_as_was_trained(watch):
    parts = partition("natural", watch.y_train, watch.client_train, 6, seed=5)
    test_parts = held_out_parts("natural", parts, watch, seed=5)
    for train, test in zip(parts, test_parts, strict=True):
        assert set(watch.client_train[train]) == set(watch.client_test[test])


def test_the_catalogue_names_the_member_that_is_read():
    assert [member.path for member in stored("watch").entry.members] == [MEMBER]
