"""The adapter to flwr-datasets, against partitioners of the same public face, and without the package."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from fedlite.learning.data.partition import partition
from fedlite.learning.data.partition_error import PartitionError

LABELS = np.arange(12, dtype=np.int64) % 3
OWNERS = np.arange(12, dtype=np.int64) // 4


class Table:
    """What `datasets.Dataset` is used for: columns by name."""

    def __init__(self, columns):
        self.columns = columns

    @classmethod
    def from_dict(cls, columns):
        return cls(columns)


class EveryNthPartitioner:
    """Deals rows in turn; refuses a number of partitions below one, as the real ones do."""

    def __init__(self, num_partitions, partition_by, seed=42):
        if num_partitions == 5:
            raise ValueError("The number of partitions must not be five.")
        self.num_partitions, self.partition_by, self.seed = num_partitions, partition_by, seed

    def load_partition(self, partition_id):
        column = self.dataset.columns[self.partition_by]
        assert len(column) == 12
        if self.num_partitions == 6:
            raise ValueError("The minimum partition size was not reached.")
        rows = self.dataset.columns["idx"][partition_id :: self.num_partitions]
        return {"idx": rows[::-1].tolist()}


class NaturalIdPartitioner:
    """One part for each value of a column, so that the number of parts follows from the data."""

    def __init__(self, partition_by):
        self.partition_by = partition_by

    @property
    def num_partitions(self):
        return len(set(self.dataset.columns[self.partition_by].tolist()))

    def load_partition(self, partition_id):
        return {"idx": np.flatnonzero(self.dataset.columns[self.partition_by] == partition_id).tolist()}


@pytest.fixture
def installed(monkeypatch):
    partitioners, tables = ModuleType("flwr_datasets.partitioner"), ModuleType("datasets")
    partitioners.EveryNthPartitioner = EveryNthPartitioner
    partitioners.NaturalIdPartitioner = NaturalIdPartitioner
    partitioners.annotations = "not a partitioner"
    tables.Dataset = Table
    monkeypatch.setitem(sys.modules, "flwr_datasets", ModuleType("flwr_datasets"))
    monkeypatch.setitem(sys.modules, "flwr_datasets.partitioner", partitioners)
    monkeypatch.setitem(sys.modules, "datasets", tables)


def split(n_clients, owners=None, **options):
    return partition("flwr_datasets", LABELS, owners, n_clients, 7, **options)


def test_the_adapter_returns_sorted_row_numbers(installed):
    parts = split(4, partitioner="EveryNthPartitioner")
    assert [part.tolist() for part in parts] == [[i, i + 4, i + 8] for i in range(4)]
    assert all(part.dtype == np.int64 for part in parts)


def test_natural_owners_are_offered_as_a_column(installed):
    parts = split(3, OWNERS, partitioner="NaturalIdPartitioner")
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize(
    ("n_clients", "options", "text"),
    [
        (4, {"partitioner": "annotations"}, "expected one of EveryNthPartitioner, NaturalIdPartitioner"),
        (4, {"partitioner": "EveryNthPartitioner", "alpha": 1}, "it takes num_partitions, partition_by, seed"),
        (5, {"partitioner": "EveryNthPartitioner"}, "must not be five"),
        (6, {"partitioner": "EveryNthPartitioner"}, "minimum partition size"),
        (4, {"partitioner": "NaturalIdPartitioner"}, "set the number of clients to 3"),
    ],
)
def test_refusals_of_a_partitioner_are_passed_on(installed, n_clients, options, text):
    with pytest.raises(PartitionError, match=text):
        split(n_clients, **options)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flwr_datasets.partitioner", None)
    with pytest.raises(PartitionError, match=r"pip install 'fedlite\[datasets\]'"):
        split(4, partitioner="IidPartitioner")


def test_a_partitioner_has_to_be_named():
    with pytest.raises(PartitionError, match="got no 'partitioner'"):
        split(4)
