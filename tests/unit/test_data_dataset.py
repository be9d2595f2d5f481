"""Datasets: shapes, splits, owners and the errors of a dataset that breaks its own rules."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from fedlite.errors import UnknownNameError
from fedlite.learning.data import Dataset, DatasetError, load
from fedlite.learning.data.catalog import CATALOG
from fedlite.learning.data.images import standardise


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def small(**changes):
    made = Dataset(
        name="small",
        x_train=np.zeros((4, 2), np.float32),
        y_train=np.array([0, 1, 0, 1]),
        x_test=np.zeros((2, 2), np.float32),
        y_test=np.array([0, 1]),
        client_train=None,
        client_test=None,
        num_classes=2,
        input_shape=(2,),
        licence="none",
        source="this test",
    )
    return replace(made, **changes)


def test_digits_have_1797_rows_in_two_splits(digits):
    assert digits.x_train.shape == (1438, 1, 8, 8)
    assert digits.x_test.shape == (359, 1, 8, 8)
    assert CATALOG["digits"].input_shape == (1, 8, 8)
    assert digits.x_train.dtype == np.float32
    assert digits.num_classes == 10
    assert digits.natural_clients == 0


def test_digits_hold_out_a_fifth_of_every_class(digits):
    train, test = np.bincount(digits.y_train), np.bincount(digits.y_test)
    assert np.all(test == np.round(0.2 * (train + test)))


def test_digits_are_the_same_on_every_load(digits):
    again = load("digits")
    assert np.array_equal(again.x_test, digits.x_test)
    assert np.array_equal(again.y_train, digits.y_train)


def test_digits_keep_every_row_of_scikit_learn_exactly_once(digits):
    from sklearn.datasets import load_digits

    ours = np.concatenate([digits.x_train, digits.x_test]).reshape(-1, 64)
    grey = np.rint((ours - ours.min()) * (16 / (ours.max() - ours.min())))  # undoes the standardisation
    assert sorted(map(tuple, grey)) == sorted(map(tuple, load_digits().data))


def test_standardise_uses_training_statistics_only():
    train = np.array([[[0.0, 2.0]], [[0.0, 2.0]]])
    scaled_train, scaled_test = standardise(train, train + 1.0)
    assert np.allclose(scaled_train, [[[-1.0, 1.0]], [[-1.0, 1.0]]])
    assert np.allclose(scaled_test, scaled_train + 1.0)


def test_standardise_only_centres_a_channel_that_never_changes():
    scaled, _ = standardise(np.full((3, 1, 2), 7.0), np.full((1, 1, 2), 9.0))
    assert np.array_equal(scaled, np.zeros((3, 1, 2)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"x_train": np.zeros((4, 2))}, "float32"),
        ({"y_train": np.array([0, 1, 0])}, r"\(rows,\)"),
        ({"y_test": np.array([0, 2])}, "expected 0..1"),
        ({"client_train": np.zeros(4, np.int64)}, "one split"),
        ({"client_train": np.zeros(3, np.int64), "client_test": np.zeros(2, np.int64)}, "one owner per row"),
        ({"input_shape": (3,)}, r"\(3,\)"),
    ],
)
def test_a_dataset_that_breaks_its_rules_is_refused(changes, text):
    with pytest.raises(DatasetError, match=text):
        small(**changes)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"digits.*watch"):
        load("wach")


def test_a_factory_of_the_users_own_is_called(tmp_path, monkeypatch):
    (tmp_path / "own_data_module.py").write_text(
        "from fedlite.learning.data import load\ndef made(): return load('digits')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert load("own_data_module:made").name == "digits"
    sys.modules.pop("own_data_module")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no_such_module_here:f", r"cannot be imported \(No module named"),
        ("json:no_such", "there is no 'no_such' in json"),
        ("time:perf_counter", "got float"),
    ],
)
def test_a_wrong_factory_is_explained(name, text):
    with pytest.raises(DatasetError, match=text):
        load(name)
