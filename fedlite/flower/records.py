"""Arrays in and out of Flower's records, in the types of the model they belong to.

Strategies compute with floating numbers: a mean of counters (BatchNorm's `num_batches_tracked`) is no integer, and some
of Flower's strategies step in place, which integers refuse. So counters enter a strategy as float64, which holds every
integer up to 2^53, and what comes out of it is brought back to the model's types wherever fedlite reads it.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

Array = NDArray[Any]
_Item = TypeVar("_Item")
_Record = TypeVar("_Record", ArrayRecord, ConfigRecord, MetricRecord)

NUMPY: Final = "numpy.ndarray"
"""How Flower calls numpy's file format, in which it carries arrays; what has another name is an app's own bytes."""


class Numbers(FlowerArray):
    """A Flower array that stays numbers, and is written down in numpy's format only if somebody asks for its `data`.

    Writing and reading that format takes longer than most of what strategies do with a small array.

    Parameters
    ----------
    values : ndarray
        Copied, so that no later change of them shows here.
    """

    def __init__(self, values: Array) -> None:
        # Flower's own constructor would write the array down, and its attributes forget a checksum at each change.
        vars(self).update(
            _numbers=np.array(values, order="C"), dtype=_text(values.dtype), shape=values.shape, stype=NUMPY
        )

    @property
    def data(self) -> bytes:
        """The array in numpy's format."""
        buffer = io.BytesIO()
        np.save(buffer, self._numbers, allow_pickle=False)
        return buffer.getvalue()

    @data.setter
    def data(self, data: bytes) -> None:
        self._numbers = _read(data)

    def numpy(self) -> Array:
        """Return a copy of the numbers."""
        return self._numbers.copy()

    def deflate(self) -> bytes:
        """Return the form in which Flower stores the array, which names its class."""
        return FlowerArray(self.dtype, self.shape, self.stype, self.data).deflate()


@lru_cache(maxsize=64)
def _text(dtype: np.dtype[Any]) -> str:
    """Return a type as text, which numpy builds anew each time."""
    return str(dtype)


def to_record(names: Sequence[str], arrays: Sequence[Array]) -> ArrayRecord:
    """Return arrays as Flower carries them, single numbers (shape ()) included."""
    record = ArrayRecord()
    for name, values in zip(names, arrays, strict=True):
        record[name] = Numbers(values)
    return record


def first_of(content: RecordDict, kind: type[_Record]) -> _Record | None:
    """Return the first record of a kind; Flower's own views of a content copy it."""
    return next((record for record in content.values() if isinstance(record, kind)), None)


def from_record(record: ArrayRecord) -> list[Array]:
    """Return the arrays of a record, which keeps them."""
    return [_values(array) for array in record.values()]


def _values(array: FlowerArray) -> Array:
    npy = not isinstance(array, Numbers) and array.stype == NUMPY
    return _read(array.data) if npy else np.asarray(array.numpy())


def _read(data: bytes) -> Array:
    """Return the array of a buffer in numpy's format, whose few headers are parsed once each."""
    start = int.from_bytes(data[8:10], "little") + 10
    if data[:8] != _VERSION_1 or len(data) < start:
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    shape, fortran, dtype = _header(data[:start])
    if dtype.hasobject:
        raise ValueError("array: got Python objects, expected numbers")
    values = np.frombuffer(data, dtype, count=math.prod(shape), offset=start)
    return values.reshape(shape, order="F" if fortran else "C").copy()


_VERSION_1: Final = b"\x93NUMPY\x01\x00"


@lru_cache(maxsize=512)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    stream = io.BytesIO(head)
    np.lib.format.read_magic(stream)
    return np.lib.format.read_array_header_1_0(stream)


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
