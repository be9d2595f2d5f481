"""The model may be tested on some of the test rows: the same in every round, run and seed."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.compose.learning import prepare
from fedlite.errors import FedliteError
from fedlite.learning.training.accelerator import HOST
from fedlite.results.directory import RunDirectory
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

SCENARIO = """
name: some
seed: SEED
fleet: {devices: 4, mix: {pixel-8: 100 %}, rules: {charging: false, unmetered: false, idle: false}}
task: {data: digits, partition: iid, model: mlp}
training: {rounds: 2, clients_per_round: 2, local: {lr: 0.1}, EXTRA}
clients: [{for: any, plan: {techniques: [static-int8]}}]
"""


def scenario(extra, seed=1):
    return parse_scenario(SCENARIO.replace("SEED", str(seed)).replace("EXTRA", extra))


def test_the_same_rows_judge_every_seed():
    first, other, all_ = (prepare(scenario(*one)) for one in (("evaluate_on: 100", 1), ("evaluate_on: 100", 2), ("",)))
    assert len(first.tested) == 100
    assert np.array_equal(first.tested, other.tested)
    assert np.array_equal(first.test_set.x_test, all_.judge.x_test[first.tested])
    assert all_.test_set is all_.judge


def test_rounds_and_what_is_shipped_are_tested_on_them_and_the_run_says_so(tmp_path):
    done = run(scenario("evaluate_on: 100"), out=tmp_path / "run", settings=Settings("local"))
    learning = prepare(scenario("evaluate_on: 100"))
    arrays = RunDirectory(done.path).read_model()
    ware = learning.test_set
    found = learning.trainer(HOST).evaluate([arrays[name] for name in learning.names], ware.x_test, ware.y_test)
    assert done.summary["metrics"]["accuracy"] == found.metrics["accuracy"]
    assert all((100 * value) == pytest.approx(round(100 * value)) for value in done.rounds["accuracy"])
    (shipped,) = done.summary["delivered"]
    assert 100 * shipped["metrics"]["accuracy"] == pytest.approx(round(100 * shipped["metrics"]["accuracy"]))
    assert done.summary["scored_on"] == "100 of 359 test rows"
    assert done.summary["test_rows"] == {"tested": 100, "all": 359}
    assert "on 100 of 359 test rows" in (done.path / "report.html").read_text()


def test_training_does_not_depend_on_them(tmp_path):
    some = run(scenario("evaluate_on: 100"), out=tmp_path / "some", settings=Settings("local"))
    whole = run(scenario(""), out=tmp_path / "whole", settings=Settings("local"))
    models = [RunDirectory(one.path).read_model() for one in (some, whole)]
    assert all(np.array_equal(models[0][name], models[1][name]) for name in models[1])
    assert len(some.rounds) == len(whole.rounds)


def test_more_rows_than_there_are_are_refused():
    with pytest.raises(FedliteError, match=r"training\.evaluate_on: got 360, expected at most the 359 test rows"):
        prepare(scenario("evaluate_on: 360"))
