"""A pickled array opens; a pickle that names anything else does not, and runs nothing."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest

from fedlite.learning.data.dataset import DatasetError
from fedlite.learning.data.safe_pickle import load_object_array


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def saved(value, protocol=2):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": ()})
    array = np.empty((), dtype=object)
    array[()] = value
    pickle.dump(array, buffer, protocol=protocol)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_dictionary_of_arrays_opens(protocol):
    value = {"X": [np.arange(6.0).reshape(2, 3), np.ones((1, 3))], "y": np.array([1, 2]), "names": ["a"]}
    opened = load_object_array(saved(value, protocol))
    assert np.array_equal(opened["X"][0], value["X"][0])
    assert opened["y"].tolist() == [1, 2]
    assert opened["names"] == ["a"]


def test_a_pickle_that_names_a_function_is_refused_and_not_run(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(DatasetError, match="mkdir"):
        load_object_array(saved(Hostile(target)))
    assert not target.exists()


def test_a_plain_array_is_not_a_pickle():
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    buffer.seek(0)
    with pytest.raises(DatasetError, match=r"numpy\.load"):
        load_object_array(buffer)


@pytest.mark.parametrize("data", [b"", b"not an npy file", saved([1]).getvalue()[:-20]])
def test_a_damaged_file_is_refused(data):
    with pytest.raises(DatasetError):
        load_object_array(io.BytesIO(data))
