"""A client that diverges is an outcome of that client; a model that diverges ends its run with what it has."""

import json
import sys

import numpy as np
import pytest

from fedlite import run
from fedlite.cli import main as command_line
from fedlite.runner import Settings

LOCAL = Settings(backend="local")
ROWS = """
import numpy as np
from fedlite.learning.data.dataset import Dataset

def rows(broken=np.nan):
    drawn = np.random.default_rng(5)
    x = drawn.normal(size=(96, 6)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    owner = np.repeat(np.arange(6), 16)
    x[owner == 2] *= np.float32(broken)
    return Dataset("own", x, y, x[:32], y[:32], owner, owner[:32], 2, (6,), "none", "drawn")

def sound():
    return rows(1.0)
"""
SCENARIO = """
name: one-diverges
seed: 3
fleet: {devices: 6, mix: {pixel-8: 1.0}}
task: {data: "diverging_rows:rows", model: mlp, partition: natural}
training: {rounds: 4, clients_per_round: 6, local: {epochs: 2, batch_size: 4, lr: 0.1}}
"""
WAYS = {
    "summed": {},
    "separate": {"training.replies": "separate"},
    "one by one": {"training.mode": "sequential"},
    "median": {"training.strategy": "fedmedian"},
    "errors": {"training.failures": "error"},
    "first": {"training.first": "4"},
    "buffered": {
        "training.strategy": "{name: fedbuff, buffer: 3, concurrency: 4}",
        "training.clients_per_round": "null",
    },
    "half": {"wire.up": "fp16"},
    "remembered": {"wire.up": "[topk:0.5]", "wire.error_feedback": "true"},
    "narrow": {"clients": "[{for: any, plan: {width: 0.5}}]"},
    "masked": {"clients": "[{for: any, plan: {sparsity: 50 %}}]"},
    "unpredictable": {"wire.up": "[int8, zstd]"},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "diverging_rows.py").write_text(ROWS, encoding="utf-8")
    (tmp_path / "one.yaml").write_text(SCENARIO, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("diverging_rows", None)
    return tmp_path


def ran(here, name, changes):
    from fedlite.scenario.loader import load_scenario

    return run(load_scenario(here / "one.yaml", changes), out=here / name, settings=LOCAL)


def model(done):
    from safetensors.numpy import load_file

    return load_file(done.path / "model.safetensors")


@pytest.mark.parametrize("way", WAYS)
def test_one_diverging_client_is_its_own_outcome_and_never_reaches_the_model(here, way):
    done = ran(here, "out", WAYS[way])
    jobs = done.clients
    mine = jobs.filter(jobs["device"] == 2)
    assert set(mine["outcome"]) <= {"diverged", "late"}
    assert "diverged" in set(mine["outcome"])
    assert "diverged" not in set(jobs.filter(jobs["device"] != 2)["outcome"])
    lost = mine.filter(mine["outcome"] == "diverged")
    # It computed and sent: both are paid for.
    assert lost["compute_j"].min() > 0
    assert lost["up_bytes"].min() > 0
    assert lost["train_s"].min() > 0
    assert all(np.isfinite(values).all() for values in model(done).values())
    assert done.summary["outcomes"]["diverged"] == lost.height
    assert done.summary["verdict"] is None
    assert "Training ended in numbers" in (done.path / "report.html").read_text(encoding="utf-8")
    # Nobody waits for what has come already.
    assert done.summary["virtual_time_s"] < 3600


def test_the_mean_is_that_of_the_others_wherever_it_is_taken(here):
    summed, separate = ran(here, "a", WAYS["summed"]), ran(here, "b", WAYS["separate"])
    found = [model(done) for done in (summed, separate)]
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[1][name], rtol=1e-5, atol=1e-6)
    initial = model(ran(here, "c", {"training.local.lr": "1e-30", "task.data": "diverging_rows:sound"}))
    assert any(not np.allclose(values, found[0][name]) for name, values in initial.items())


def command(capsys, *words):
    sys.argv = ["fedlite", *words]
    with pytest.raises(SystemExit) as end:
        command_line.main()
    return end.value.code, capsys.readouterr()


def test_a_run_whose_every_update_diverges_is_written_and_says_so(here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    code, told = command(
        capsys, "run", "one.yaml", "--backend", "local", "--out", "out", "--json", "--set", "training.local.lr=1e6",
        "--set", "training.local.epochs=60",
    )  # fmt: skip
    assert code == 7
    assert told.err.startswith("out: every update diverged, so the model is the one that the run began with.")
    assert json.loads(told.out)["outcomes"] == {"diverged": 24}
    assert "Mind: every update diverged" in (here / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"training.strategy": "{name: fedbuff, buffer: 2, concurrency: 4, server_learning_rate: 1.0e+38}"},
        {"training.strategy": "{name: fedavgm, server_learning_rate: 1.0e+38}"},
    ],
)
def test_a_model_that_diverges_at_the_server_ends_its_run_with_the_last_finite_one(here, changes):
    changes = {**changes, "task.data": "diverging_rows:sound", "training.rounds": "40"}
    if "fedbuff" in changes["training.strategy"]:
        changes["training.clients_per_round"] = "null"
    done = ran(here, "out", changes)
    assert "the model of round" in done.summary["verdict"] or "every update since round" in done.summary["verdict"]
    assert all(np.isfinite(values).all() for values in model(done).values())
    assert done.clients["outcome"].len() >= 2
