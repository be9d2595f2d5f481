"""Adapter to the partitioners of flwr-datasets, an optional extra: they see row numbers, we get index arrays.

Only the public face of a partitioner is used: `dataset`, `num_partitions`, `load_partition(i)["idx"]`. It costs a
second or more for 1,000 clients and half a gigabyte of packages, so the rules in `partition` are the default.
"""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.learning.data.partition_error import PartitionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

PARTITIONER_MODULE = "flwr_datasets.partitioner"
DATASET_MODULE = "datasets"


def flwr_datasets(
    labels: Ints, owners: Ints | None, n_clients: int, seed: int, *, partitioner: str, **arguments: Any
) -> list[Ints]:
    """Deal rows with a partitioner of flwr-datasets, by class name such as "DirichletPartitioner".

    Parameters
    ----------
    partitioner : str
        Class name in `flwr_datasets.partitioner`.
    **arguments
        Of that class. `num_partitions`, `seed` and `partition_by` are filled in where the class takes them and they
        are not given: rows have the columns "label" and, with natural owners, "owner".

    Raises
    ------
    PartitionError
        If the extra is not installed, the class is unknown, it refuses its arguments or the data, or it gives another
        number of clients than asked for.
    """
    made = _build(partitioner, n_clients, seed, owners is not None, arguments)
    columns: dict[str, Any] = {"idx": np.arange(len(labels)), "label": labels}
    if owners is not None:
        columns["owner"] = owners
    made.dataset = _import(DATASET_MODULE).Dataset.from_dict(columns)
    try:
        count = int(made.num_partitions)
        parts = [np.sort(np.asarray(made.load_partition(i)["idx"], dtype=np.int64)) for i in range(count)]
    except (TypeError, ValueError, KeyError) as error:
        raise PartitionError(
            f"partition 'flwr_datasets': {partitioner} failed: {error}; change its arguments or use a rule of fedlite"
        ) from error
    if count != n_clients:
        raise PartitionError(
            f"partition 'flwr_datasets': got {count} parts from {partitioner}, expected {n_clients}; "
            f"set the number of clients to {count}"
        )
    return parts


def _build(partitioner: str, n_clients: int, seed: int, has_owners: bool, arguments: dict[str, Any]) -> Any:  # noqa: FBT001
    module = _import(PARTITIONER_MODULE)
    known = sorted(name for name in dir(module) if name.endswith("Partitioner"))
    kind = getattr(module, partitioner, None)
    if kind is None or partitioner not in known:
        raise PartitionError(
            f"partition 'flwr_datasets': got partitioner {partitioner!r}, expected one of {', '.join(known)}"
        )
    takes = inspect.signature(kind).parameters
    by_owner = has_owners and "NaturalId" in partitioner
    defaults = {
        "num_partitions": n_clients,
        "seed": seed,
        "partition_by": "owner" if by_owner else "label",
    }
    filled = {name: value for name, value in defaults.items() if name in takes} | arguments
    try:
        return kind(**filled)
    except (TypeError, ValueError) as error:
        raise PartitionError(
            f"partition 'flwr_datasets': {partitioner} refused its arguments: {error}; it takes {', '.join(takes)}"
        ) from error


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PartitionError(
            f"partition 'flwr_datasets': got {error}, expected the flwr-datasets package; "
            "install it with: pip install 'fedlite[datasets]', or use iid, dirichlet, shards or natural"
        ) from error
