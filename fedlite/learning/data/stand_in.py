"""A row of zeros in place of a data set of the catalogue: enough to try a model on, and nothing is read or fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlite.learning.data.dataset import Dataset

if TYPE_CHECKING:
    from fedlite.learning.data.catalog import Entry


def stand_in(entry: Entry) -> Dataset:
    """Return one row of zeros, of class 0 or with zeros as numbers, in the shapes that the catalogue tells of."""
    x = np.zeros((1, *entry.input_shape), np.float32)
    y = np.zeros((1, entry.num_classes), np.float32) if entry.numbers else np.zeros(1, np.int64)
    return Dataset(
        entry.name,
        x,
        y,
        x,
        y,
        None,
        None,
        entry.num_classes,
        entry.input_shape,
        entry.licence,
        entry.source,
        objective=entry.objective,
    )
