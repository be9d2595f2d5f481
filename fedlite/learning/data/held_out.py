"""Each client's own share of the test split, so that a model can be judged client by client."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fedlite.learning.data.label_skew import label_counts
from fedlite.learning.data.partition import natural_owners
from fedlite.learning.data.rebalance import rounded_shares
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.learning.data.dataset import Dataset

    Ints = NDArray[np.int64]


def held_out_parts(kind: str, parts: Sequence[Ints], dataset: Dataset, seed: int) -> list[Ints]:
    """Return the test rows of each client of `partition(kind, ...)`, made with the same seed.

    Natural clients get the test rows of their own person or device. Synthetic clients get test rows in the proportion
    of their training rows, class by class: every test row goes to exactly one client, and a client's test labels look
    like its training labels. A client with few rows may get none. Data without classes counts as one class.
    """
    if kind == "natural" and dataset.client_train is not None and dataset.client_test is not None:
        owners = natural_owners(dataset.client_train, len(parts), seed)
        rows = {int(owner): np.flatnonzero(dataset.client_test == owner) for owner in np.unique(owners)}
        return [rows[int(owner)] for owner in owners]
    classes = dataset.num_classes if dataset.has_classes else 1
    train, test = (y if dataset.has_classes else np.zeros(len(y)) for y in (dataset.y_train, dataset.y_test))
    counts = label_counts(parts, train.astype(np.int64), classes)
    client = np.full(len(test), -1, dtype=np.int64)
    for label in range(classes):
        rows_of_class = stream(seed, "partition", "held-out", label).permutation(np.flatnonzero(test == label))
        total = counts[:, label].sum()
        if total and len(rows_of_class):
            dealt = rounded_shares(counts[:, label] / total, len(rows_of_class))
            client[rows_of_class] = np.repeat(np.arange(len(parts)), dealt)
    order = np.argsort(client, kind="stable")
    edges = np.searchsorted(client[order], np.arange(len(parts) + 1))
    return [order[begin:end] for begin, end in pairwise(edges.tolist())]
