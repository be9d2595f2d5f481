"""IDX files, gzipped or not, alone and in a folder."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from fedlite.errors import DataUnavailableError
from fedlite.learning.data import DatasetError, load
from fedlite.learning.data.idx import FILES, parse_idx


def idx_bytes(array):
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    )


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for rows, split in ((6, "train"), (3, "test")):
        (tmp_path / FILES[f"x_{split}"]).write_bytes(idx_bytes(rng.integers(0, 256, (rows, 5, 4))))
        (tmp_path / f"{FILES[f'y_{split}']}.gz").write_bytes(gzip.compress(idx_bytes(np.arange(rows) % 3)))
    return tmp_path


def test_a_folder_of_idx_files_is_a_dataset(folder):
    made = load(f"idx:{folder}")
    assert made.x_train.shape == (6, 1, 5, 4)
    assert made.y_test.tolist() == [0, 1, 2]
    assert made.num_classes == 3
    assert abs(float(made.x_train.mean())) < 1e-6


def test_a_missing_file_is_named(folder):
    (folder / FILES["x_test"]).unlink()
    with pytest.raises(DataUnavailableError, match="t10k-images-idx3-ubyte"):
        load(f"idx:{folder}")


def test_values_and_shape_survive():
    array = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(parse_idx(idx_bytes(array), "x"), array)
    assert np.array_equal(parse_idx(gzip.compress(idx_bytes(array)), "x"), array)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "magic number"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "unsigned bytes"),
        (idx_bytes(np.arange(9))[:-1], "cut short"),
        (b"\0\0\x08\3\0\0", "cut short"),
        (gzip.compress(b"abc", mtime=0)[:-3], "damaged gzip"),
    ],
)
def test_a_file_that_is_no_idx_file_is_refused(data, text):
    with pytest.raises(DatasetError, match=text):
        parse_idx(data, "x")
