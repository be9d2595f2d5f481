import numpy as np
import pytest

from fedlite.engine.journal import JournaledPool
from fedlite.engine.pool import LocalPool
from fedlite.engine.task import Result, Task, WorkerSpec, digest


class Doubler:
    """Doubles what it is given, and counts."""

    calls = 0

    def __init__(self, data):
        self.data = data

    def run(self, task, shared):
        type(self).calls += 1
        return Result({"kind": task.kind}, {"out": task.arrays["x"] * 2 + shared["y"] + self.data["z"]})


@pytest.fixture
def pool_on(tmp_path):
    Doubler.calls = 0

    class Spec(WorkerSpec):
        def build(self, data):
            return Doubler(data)

    spec = Spec("unused:unused", {}, {"z": np.array(100.0)})
    return lambda: JournaledPool(LocalPool(spec), tmp_path / "journal.bin")


def run_all(pool, values):
    shared = pool.share({"y": np.array([1.0])})
    tickets = [pool.submit(Task("t", {}, {"x": np.array([value])}), shared) for value in values]
    return [float(pool.collect(ticket).arrays["out"][0]) for ticket in tickets]


def test_what_is_in_the_journal_is_not_computed_again(pool_on):
    first = pool_on()
    assert run_all(first, [1.0, 2.0]) == [103.0, 105.0]
    first.close()
    second = pool_on()
    assert run_all(second, [1.0, 2.0, 3.0]) == [103.0, 105.0, 107.0]
    assert (Doubler.calls, second.found) == (3, 2)


def test_other_shared_arrays_make_another_task(pool_on):
    pool = pool_on()
    run_all(pool, [1.0])
    shared = pool.share({"y": np.array([5.0])})
    ticket = pool.submit(Task("t", {}, {"x": np.array([1.0])}), shared)
    assert float(pool.collect(ticket).arrays["out"][0]) == 107.0


@pytest.mark.parametrize("damage", ["cut", "flip", "garbage"])
def test_a_damaged_end_is_dropped_and_computed_again(pool_on, tmp_path, damage):
    pool = pool_on()
    run_all(pool, [1.0, 2.0])
    pool.close()
    path = tmp_path / "journal.bin"
    whole = path.read_bytes()
    path.write_bytes(
        {"cut": whole[:-3], "flip": whole[:-1] + bytes([whole[-1] ^ 1]), "garbage": whole + b"\xff" * 50}[damage]
    )
    again = pool_on()
    assert run_all(again, [1.0, 2.0]) == [103.0, 105.0]
    assert again.found == (2 if damage == "garbage" else 1)
    again.close()
    last = pool_on()
    assert run_all(last, [1.0, 2.0]) == [103.0, 105.0]
    assert last.found == 2


def test_digests_depend_on_names_types_shapes_and_values_only():
    a, b = np.arange(4.0), np.ones(2)
    assert digest({"x": 1, "y": 2}, {"a": a, "b": b}) == digest({"y": 2, "x": 1}, {"b": b, "a": a})
    others = [{"a": a.astype(np.float32)}, {"a": a.reshape(2, 2)}, {"c": a}, {"a": a + 1}]
    assert len({digest({}, other) for other in [{"a": a}, *others]}) == 5


def test_results_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "journal.bin"
    arrays = {
        "flags": np.array([True, False, True]),
        "number": np.asarray(1.5),
        "none": np.zeros((0, 3), np.float32),
        "turned": np.arange(6, dtype=np.int64).reshape(2, 3).T,
        "half": np.array([np.nan, -0.0], np.float16),
    }

    class Told:
        def run(self, task, shared):
            return Result({"said": [1, None, "ä"]}, arrays)

    class Spec(WorkerSpec):
        def build(self, data):
            return Told()

    for found in (0, 1):
        pool = JournaledPool(LocalPool(Spec("unused:unused")), path)
        result = pool.collect(pool.submit(Task("t", {}, {}), pool.share({})))
        assert (pool.found, result.meta) == (found, {"said": [1, None, "ä"]})
        assert set(result.arrays) == set(arrays)
        for name, values in arrays.items():
            got = result.arrays[name]
            assert (got.dtype, got.shape, got.tobytes()) == (values.dtype, values.shape, values.tobytes())
        pool.close()
