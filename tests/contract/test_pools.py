"""What every pool must do, wherever its tasks run; a new pool is tested by adding one line to POOLS."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from fedlite.engine.journal import JournaledPool
from fedlite.engine.pool import LocalPool
from fedlite.engine.task import Task, WorkerSpec
from fedlite.errors import FedliteError

# Actors import their worker by name, so it stands in a file of its own.
WORKER = """
import os
from pathlib import Path

import numpy as np

from fedlite.engine.task import Result
from fedlite.errors import FedliteError


class OwnError(FedliteError):
    pass


class Worker:
    def __init__(self, data, factor, log):
        self.data, self.factor, self.log = data, factor, Path(log)

    def run(self, task, shared):
        with self.log.open("a") as file:
            file.write(task.meta["name"] + "\\n")
        if task.kind == "raise":
            raise OwnError("battery: got " + task.meta["name"] + ", expected another; use it")
        out = task.arrays["x"] * self.factor + shared["y"] + self.data["z"]
        kinds = {"count": np.array(out.size), "none": np.zeros((0, 3), np.float32), "large": out > 5}
        return Result({"name": task.meta["name"], "nested": {"list": [1, None, "é"]}}, {"out": out, **kinds})
"""


def local(spec, folder):
    del folder
    return LocalPool(spec)


def journaled(spec, folder):
    return JournaledPool(LocalPool(spec), folder / "journal.bin", spec.digest)


def ray(spec, folder, actors=2):
    del folder
    from fedlite.engine.ray_pool import RayPool

    return RayPool(spec, actors)


def journaled_ray(spec, folder):
    return JournaledPool(ray(spec, folder), folder / "journal.bin", spec.digest)


POOLS = [local, journaled, pytest.param(ray, marks=pytest.mark.ray), pytest.param(journaled_ray, marks=pytest.mark.ray)]
every_pool = pytest.mark.parametrize("build", POOLS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return the folder of the worker's module, which this process and Ray's find; Ray starts if a test needs it."""
    folder = tmp_path_factory.mktemp("pools")
    (folder / "battery_worker.py").write_text(WORKER, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        yield folder


@pytest.fixture(scope="module")
def one_cluster(place):
    """Keep one Ray for all tests: starting it takes longer than the tests do."""
    from fedlite.engine.ray_cluster import cluster

    del place
    with cluster(2):
        yield


@pytest.fixture
def lab(place, tmp_path, request):
    """Return how to open pools on one worker, and the names of the tasks that ran."""
    if request.node.get_closest_marker("ray"):
        request.getfixturevalue("one_cluster")
    del place
    log = tmp_path / "ran.txt"
    spec = WorkerSpec("battery_worker:Worker", {"factor": 2.0, "log": str(log)}, {"z": np.array(100.0)})
    opened = []

    def open_pool(build, folder=tmp_path, **options):
        pool = build(spec, folder, **options)
        opened.append(pool)
        return pool

    yield SimpleNamespace(
        open=open_pool, ran=lambda: log.read_text(encoding="utf-8").split() if log.exists() else [], folder=tmp_path
    )
    for pool in opened:
        pool.close()


def task(name, kind="double"):
    return Task(kind, {"name": name}, {"x": np.arange(3, dtype=np.float64) + len(name)})


def values(result):
    """Return a result as plain values, types and shapes included."""
    arrays = {name: (a.dtype.str, a.shape, np.asarray(a).tolist()) for name, a in sorted(result.arrays.items())}
    return result.meta, arrays


def collected(pool, names, order=None):
    """Submit tasks in one order, collect them in another, and return their values by name."""
    shared = pool.share({"y": np.array([0.5, 1.0, 1.5])})
    tickets = {name: pool.submit(task(name), shared) for name in names}
    return {name: values(pool.collect(tickets[name])) for name in order or names}


@every_pool
def test_a_result_is_what_the_worker_made_of_task_shared_arrays_and_data(lab, build):
    [(meta, arrays)] = collected(lab.open(build), ["a"]).values()
    assert meta == {"name": "a", "nested": {"list": [1, None, "é"]}}
    assert arrays == {
        "count": ("<i8", (), 3),
        "large": ("|b1", (3,), [True, True, True]),
        "none": ("<f4", (0, 3), []),
        "out": ("<f8", (3,), [102.5, 105.0, 107.5]),
    }


@every_pool
def test_results_do_not_depend_on_the_order_of_submitting_and_collecting(lab, build):
    names = ["a", "bb", "ccc"]
    wanted = collected(lab.open(local), names)
    pool = lab.open(build)
    for order in itertools.permutations(names):
        assert collected(pool, order, reversed(order)) == wanted


@every_pool
def test_shared_arrays_stay_with_their_task(lab, build):
    pool = lab.open(build)
    shares = [pool.share({"y": np.array([value])}) for value in (1.0, 1000.0)]
    tickets = [pool.submit(task("a"), shared) for shared in (*shares, *shares[::-1])]
    firsts = [float(pool.collect(ticket).arrays["out"][0]) for ticket in tickets]
    assert firsts == [103.0, 1102.0, 1102.0, 103.0]


@every_pool
def test_shared_arrays_of_any_size_arrive_whole(lab, build):
    pool = lab.open(build)
    for rows in (1, 20_000):  # on Ray sent along, and in the store
        many = np.arange(3.0 * rows).reshape(rows, 3)
        got, none = (pool.collect(pool.submit(task("a"), pool.share({"y": y}))).arrays["out"] for y in (many, 0 * many))
        np.testing.assert_allclose(got - none, many, rtol=0, atol=1e-9)


@every_pool
def test_shared_arrays_can_be_read_where_they_were_shared(lab, build):
    arrays = {"y": np.arange(3.0)}
    assert lab.open(build).share(arrays).arrays["y"].tolist() == [0.0, 1.0, 2.0]


@every_pool
def test_a_worker_that_raises_shows_its_own_error_and_the_pool_goes_on(lab, build):
    pool = lab.open(build)
    shared = pool.share({"y": np.array([0.5, 1.0, 1.5])})
    bad, good = pool.submit(task("bad", "raise"), shared), pool.submit(task("good"), shared)
    with pytest.raises(FedliteError) as caught:
        pool.collect(bad)
    assert str(caught.value) == "battery: got bad, expected another; use it"
    assert "OwnError" in {kind.__name__ for kind in type(caught.value).__mro__}
    assert pool.collect(good).meta["name"] == "good"
    assert collected(pool, ["more"])["more"][0]["name"] == "more"


@every_pool
def test_a_pool_says_what_it_is(lab, build):
    assert lab.open(build).description.strip()


@every_pool
def test_a_closed_pool_takes_no_task_and_closes_twice(lab, build):
    pool = lab.open(build)
    shared = pool.share({"y": np.array([1.0])})
    pool.close()
    with pytest.raises(FedliteError, match="closed"):
        pool.submit(task("late"), shared)
    pool.close()
    assert lab.ran() == []


@pytest.mark.ray
def test_the_number_of_actors_does_not_matter(lab):
    names = ["a", "bb", "ccc", "dddd", "eeeee"]
    one = lab.open(ray, actors=1)
    from_one = collected(one, names)
    one.close()  # there are processors for two actors at a time
    assert collected(lab.open(ray, actors=2), names) == from_one


@pytest.mark.parametrize("build", [journaled, pytest.param(journaled_ray, marks=pytest.mark.ray)])
def test_a_journal_replays_without_running(lab, build):
    first = lab.open(build)
    before = collected(first, ["a", "bb"])
    first.close()
    again = lab.open(build)
    assert collected(again, ["bb", "ccc", "a"])["a"] == before["a"]
    assert (sorted(lab.ran()), again.found) == (["a", "bb", "ccc"], 2)


def test_a_journal_keeps_no_errors(lab):
    for _ in range(2):
        pool = lab.open(journaled)
        ticket = pool.submit(task("bad", "raise"), pool.share({"y": np.array([1.0])}))
        with pytest.raises(FedliteError, match="got bad"):
            pool.collect(ticket)
        pool.close()
    assert lab.ran() == ["bad", "bad"]
