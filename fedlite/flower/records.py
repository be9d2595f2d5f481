"""Arrays in and out of Flower's records, in the types of the model they belong to.

Strategies compute with floating numbers: a mean of counters (BatchNorm's `num_batches_tracked`) is no integer, and some
of Flower's strategies step in place, which integers refuse. So counters enter a strategy as float64, which holds every
integer up to 2^53, and what comes out of it is brought back to the model's types wherever fedlite reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

Array = NDArray[Any]
_Item = TypeVar("_Item")


def to_record(names: Sequence[str], arrays: Sequence[Array]) -> ArrayRecord:
    """Return arrays as Flower carries them, single numbers (shape ()) included."""
    return ArrayRecord({name: FlowerArray(np.asarray(a, order="C")) for name, a in zip(names, arrays, strict=True)})


def from_record(record: ArrayRecord) -> list[Array]:
    """Return the arrays of a record, which keeps them."""
    return [np.asarray(array) for array in record.to_numpy_ndarrays(keep_input=True)]


def averageable(arrays: Sequence[Array]) -> list[Array]:
    """Return arrays with which a strategy may compute: integers and booleans as float64, the others as they are."""
    return [array if np.issubdtype(array.dtype, np.inexact) else array.astype(np.float64) for array in arrays]


def in_types(arrays: Sequence[Array], dtypes: Sequence[np.dtype[Any]]) -> list[Array]:
    """Return arrays in the types of a model: what was averaged of counters is rounded to the nearest integer."""
    return [_in_type(np.asarray(array), dtype) for array, dtype in zip(arrays, dtypes, strict=True)]


def types_of(arrays: Iterable[Array]) -> tuple[np.dtype[Any], ...]:
    """Return the types of arrays, as `in_types` takes them."""
    return tuple(array.dtype for array in arrays)


def distinct(items: Iterable[_Item], key: Callable[[_Item], Hashable]) -> tuple[list[_Item], NDArray[np.int64]]:
    """Return the first item of every key, and for each item which of them has its key.

    A batch of messages has few contents: strategies send one record to all nodes.
    """
    index: dict[Hashable, int] = {}
    firsts: list[_Item] = []
    which: list[int] = []
    for item in items:
        position = index.setdefault(key(item), len(firsts))
        if position == len(firsts):
            firsts.append(item)
        which.append(position)
    return firsts, np.array(which, dtype=np.int64)


def _in_type(array: Array, dtype: np.dtype[Any]) -> Array:
    if array.dtype == dtype:
        return array
    whole = np.issubdtype(array.dtype, np.floating) and not np.issubdtype(dtype, np.inexact)
    return np.asarray(np.rint(array) if whole else array).astype(dtype)
