"""How recordings are cut into windows and splits, on made recordings whose samples are all different."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.learning.data import cache, watch
from fedlite.learning.data.catalog import CATALOG


@pytest.fixture
def numbered(tmp_path, monkeypatch):
    """Two recordings of 950 and 1,000 rows; every value is the number of its row."""
    path = tmp_path / "made.npz"
    rows = np.repeat(np.arange(1950, dtype=np.float32)[:, None], 6, axis=1)
    each = {"lengths": [950, 1000], "exercise": [4, 2], "subject": [1, 3], "side": [1, 0]}
    cache.write_arrays(path, {"rows": rows, **{key: np.array(value) for key, value in each.items()}})
    monkeypatch.setattr(watch, "standardise", lambda train, test: (train.copy(), test.copy()))
    return watch.read(CATALOG["watch"], path)


def test_no_sample_lies_in_both_splits(numbered):
    assert not set(numbered.x_train.ravel().tolist()) & set(numbered.x_test.ravel().tolist())


def test_no_window_reaches_into_the_next_recording(numbered):
    assert np.array_equal(numbered.x_train[:, 0, 99] - numbered.x_train[:, 0, 0], np.full(len(numbered.x_train), 99.0))
    assert set(numbered.x_train[:, 0, 0]) == {50.0 * i for i in range(14)} | {950 + 50.0 * i for i in range(15)}
    assert set(numbered.x_test[:, 0, 0]) == {750.0, 800.0, 850.0, 1750.0, 1800.0, 1850.0}


def test_windows_carry_the_exercise_and_the_owner_of_their_recording(numbered):
    assert numbered.y_train.tolist() == [4] * 14 + [2] * 15
    assert numbered.client_train.tolist() == [1] * 14 + [4] * 15
    assert numbered.client_names[1] == "subject 1, side 1"
    assert numbered.client_names[4] == "subject 3, side 0"
    assert numbered.person_of_client.tolist() == [0, 0, 1, 1, 2]
    assert numbered.standardised


def test_a_window_is_100_samples_of_six_channels_every_50():
    recording = np.arange(6 * 220, dtype=np.float32).reshape(220, 6)
    windows = watch._windows(recording)
    assert windows.shape == (3, *CATALOG["watch"].input_shape) == (3, 6, 100)
    assert np.array_equal(windows[1], recording[50:150].T)
