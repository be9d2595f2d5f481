"""Reader of scikit-learn's digits: 1,797 pictures of 8 x 8 pixels, always there, no download."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits

from fedlite.learning.data.dataset import Dataset
from fedlite.learning.data.images import standardise
from fedlite.rng import stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.learning.data.catalog import Entry

TEST_SHARE = 0.2
SPLIT_SEED = 0


def read(entry: Entry, prepared: Path | None) -> Dataset:
    """Return digits with 20 % of every class held out for test.

    The split is drawn once from a fixed stream, so it is the same in every run whatever the run's seed. Inputs have
    shape (1, 8, 8). The writers were dropped from the data, so it has no natural clients.
    """
    del prepared  # nothing to fetch: the pictures are inside scikit-learn
    split = pictures()
    (train, y_train), (test, y_test) = split["train"], split["test"]
    x_train, x_test = standardise(train, test)
    return Dataset(
        name="digits",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        client_train=None,
        client_test=None,
        num_classes=10,
        input_shape=(1, 8, 8),
        licence=entry.licence,
        source=entry.source,
        class_names=tuple("0123456789"),
    )


def pictures() -> dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Return the pictures (rows, 1, 8, 8), ink from 0 to 16, and classes of each split, "train" and "test"."""
    bundle = load_digits()
    pixels, labels = bundle.images[:, None, :, :], bundle.target.astype(np.int64)
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        rows = stream(SPLIT_SEED, "digits", "test", label).permutation(np.flatnonzero(labels == label))
        test[rows[: round(TEST_SHARE * len(rows))]] = True
    return {"train": (pixels[~test], labels[~test]), "test": (pixels[test], labels[test])}
