"""Code of an app reads and sleeps virtual time: a client its device's, a server the fleet's; nobody else is touched."""

import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedlite.flower.app_time import EPOCH_S, READING_S, AppCode, JobTime, adopt, app_time

SLEEPER = """
import time
from time import sleep
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    began, read = time.monotonic(), time.time()
    time.sleep(msg.content["config"]["nap"])
    sleep(msg.content["config"]["nap"])
    told = {"num-examples": 1, "took": time.monotonic() - began, "read": read}
    return Message(RecordDict({"metrics": MetricRecord(told)}), reply_to=msg)
"""


def ask(grid, nap):
    content = RecordDict({"arrays": ArrayRecord([np.zeros(2)]), "config": ConfigRecord({"nap": nap})})
    return list(grid.send_and_receive([Message(content, node, "train") for node in grid.get_node_ids()]))


def test_a_sleep_in_a_client_is_its_devices_time_and_costs_no_energy(app_grid):
    rows, replies, real_s = {}, {}, {}
    for nap in (0.0, 1800.0):
        lab = app_grid(SLEEPER, devices=2)
        began_s = time.perf_counter()
        replies[nap] = ask(lab.grid, nap)
        real_s[nap] = time.perf_counter() - began_s
        rows[nap] = lab.ledger.columns()
    assert real_s[1800.0] < 600
    np.testing.assert_allclose(rows[1800.0]["train_s"] - rows[0.0]["train_s"], 3600.0)
    np.testing.assert_array_equal(rows[1800.0]["compute_j"], rows[0.0]["compute_j"])
    assert [reply.content["metrics"]["took"] for reply in replies[1800.0]] == pytest.approx(
        [3600.0 + 2 * READING_S] * 2
    )
    assert lab.grid.clock.now_s == rows[1800.0]["end_s"].max()


def test_a_clients_clock_begins_when_its_message_is_sent(app_grid):
    lab = app_grid(SLEEPER, devices=1)
    lab.grid.sleep(5000.0)
    [reply] = ask(lab.grid, 0.0)
    assert reply.content["metrics"]["read"] == pytest.approx(EPOCH_S + 5000.0 + 2 * READING_S)


def test_a_client_that_sleeps_is_no_work_of_the_processor(app_grid):
    lab = app_grid(SLEEPER, devices=2)
    object.__setattr__(lab.grid.fleet.budgets, "cpu_time_s", 600.0)
    ask(lab.grid, 1800.0)
    assert set(lab.ledger.columns()["outcome"]) == {"arrived"}


def test_only_code_of_the_app_lives_in_virtual_time(tmp_path):
    passed, code = JobTime(100.0), AppCode(tmp_path)
    mine = types.ModuleType("mine")
    mine.__file__ = str(tmp_path / "mine.py")
    exec("import time\ndef read(): return time.time()", vars(mine))  # noqa: S102
    real = time.time
    with app_time(code, passed):
        assert mine.read() == pytest.approx(EPOCH_S + 100.0 + READING_S)
        assert abs(time.time() - real()) < 60
    assert time.time is real
    assert abs(mine.read() - real()) < 60


def test_libraries_inside_the_apps_folder_are_not_its_code(tmp_path):
    code = AppCode(tmp_path)
    assert code.owns({"__file__": str(tmp_path / "pkg" / "task.py")})
    assert not code.owns({"__file__": str(tmp_path / "env" / "site-packages" / "lib.py")})
    assert not code.owns({"__file__": str(Path(time.__name__))})
    assert AppCode(None, "pkg").owns({"__name__": "pkg.sub"})
    assert not AppCode(None, "pkg").owns({"__name__": "pkgs"})


def test_names_taken_before_the_run_are_exchanged(tmp_path, monkeypatch):
    module = types.ModuleType("taken_before")
    module.__file__ = str(tmp_path / "taken_before.py")
    exec("from time import sleep as nap", vars(module))  # noqa: S102
    monkeypatch.setitem(sys.modules, "taken_before", module)
    code, passed = AppCode(tmp_path), JobTime(0.0)
    adopt(code)
    with app_time(code, passed):
        exec("nap(3)", vars(module))  # noqa: S102
    assert passed.slept_s == 3.0


@pytest.mark.parametrize(
    ("duration_s", "reason"),
    [
        (-1.0, "ValueError: sleep length must be non-negative"),
        (float("nan"), "ValueError: sleep length must be non-negative"),
        (float("inf"), "OverflowError: timestamp out of range"),
    ],
)
def test_an_impossible_sleep_is_refused_as_by_the_real_one(app_grid, duration_s, reason):
    lab = app_grid(SLEEPER, devices=1)
    [reply] = ask(lab.grid, duration_s)
    assert reply.error.reason == reason
