"""Arrays in Flower's records: numbers until somebody asks for their bytes, which are those that Flower makes."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict

from fedlite.flower import compat
from fedlite.flower.records import Numbers, from_record, to_record

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array(3, dtype=np.int64),
    np.zeros((0, 4), np.float16),
    np.array([True, False]),
]


@pytest.mark.parametrize("values", ARRAYS, ids=str)
def test_numbers_are_the_array_that_flower_would_make(values):
    ours, theirs = Numbers(values), Array(np.array(values, order="C"))
    assert (ours.dtype, ours.shape, ours.stype, ours.data) == (theirs.dtype, theirs.shape, theirs.stype, theirs.data)
    assert ours.object_id == theirs.object_id
    np.testing.assert_array_equal(ours.numpy(), values)
    assert ours.numpy().dtype == values.dtype
    np.testing.assert_array_equal(copy.deepcopy(ours).numpy(), values)


@pytest.mark.parametrize("make", [Numbers, Array])
@pytest.mark.parametrize("values", ARRAYS, ids=str)
def test_a_record_is_read_as_it_was_written_whoever_made_its_arrays(make, values):
    record = ArrayRecord()
    record["a"] = make(values)
    (read,) = from_record(record)
    assert (read.dtype, read.shape, read.tolist()) == (values.dtype, values.shape, values.tolist())
    assert read.flags.writeable


def test_a_record_crosses_flowers_wire_as_one_of_flowers_own():
    ours = RecordDict({"arrays": to_record("abcde", ARRAYS)})
    made = {name: Array(np.asarray(values, order="C")) for name, values in zip("abcde", ARRAYS, strict=True)}
    theirs = RecordDict({"arrays": ArrayRecord(made)})
    assert compat.to_bytes(ours) == compat.to_bytes(theirs)


def test_nobody_changes_numbers_from_outside():
    values = np.zeros(3)
    record = to_record(["a"], [values])
    values += 1
    record["a"].numpy()[:] = 2
    from_record(record)[0][:] = 3
    assert from_record(record)[0].tolist() == [0, 0, 0]


def test_bytes_that_are_set_are_the_numbers_from_then_on():
    numbers = Numbers(np.zeros(3))
    numbers.data = Array(np.ones(3)).data
    assert numbers.numpy().tolist() == [1, 1, 1]


def test_newer_versions_of_the_format_are_read_and_objects_refused():
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.arange(3), version=(2, 0))
    record = ArrayRecord()
    record["a"] = Array("int64", (3,), "numpy.ndarray", buffer.getvalue())
    assert from_record(record)[0].tolist() == [0, 1, 2]
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    record["a"] = Array("object", (1,), "numpy.ndarray", pickled.getvalue())
    with pytest.raises(ValueError, match="expected numbers"):
        from_record(record)
