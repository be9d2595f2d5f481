"""Models with counters (BatchNorm) through every way a model takes: strategies, the wire, apps and the final file."""

import numpy as np
import pytest
import torch

from fedlite import runner
from fedlite.cli.init import write_app
from fedlite.flower.asynchronous import FedAsync, FedBuff
from fedlite.flower.records import averageable, distinct, from_record, in_types, to_record, types_of
from fedlite.learning import models
from fedlite.results.directory import RunDirectory
from fedlite.scenario.loader import parse_scenario

LOCAL = runner.Settings("local")
NORMED = """
from torch import nn


def factory(input_shape, num_classes):
    inner = [nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, num_classes)]
    return nn.Sequential(*inner)
"""
SCENARIO = """
name: normed
seed: 3
fleet: {{devices: 8, mix: {{pixel-4: 100 %}}, rules: {{charging: false, unmetered: false, idle: false}}}}
task: {{data: digits, model: {model}}}
training: {{rounds: {rounds}, {cohort}local: {{batch_size: {batch}, lr: 0.05}}, strategy: {strategy}}}
{more}
"""
STRATEGIES = (
    "fedavg",
    "fedavgm",
    "{name: fedprox, proximal_mu: 0.1}",
    "fedadam",
    "fedadagrad",
    "fedyogi",
    "qfedavg",
    "fedmedian",
    "fedtrimmedavg",
    "krum",
    "multikrum",
    "bulyan",
    "{name: fedbuff, concurrency: 4, buffer: 2}",
    "{name: fedasync, concurrency: 4}",
)


@pytest.fixture
def normed(tmp_path, monkeypatch):
    """Return the name of a small model with BatchNorm."""
    name = f"normed_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(NORMED, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return f"{name}:factory"


def run(path, model, strategy, *, more="", clients=4, rounds=3, batch=16):
    cohort = "" if "concurrency" in strategy else f"clients_per_round: {clients}, "
    text = SCENARIO.format(model=model, strategy=strategy, more=more, cohort=cohort, rounds=rounds, batch=batch)
    return runner.run(parse_scenario(text), out=path, settings=runner.Settings("local"))


def loaded(path, net):
    """Load a run's final model into a net, whose types and shapes it must have, and return the counters."""
    wanted = net.state_dict()
    found = RunDirectory(path).read_model()
    assert {name: values.dtype.name for name, values in found.items()} == {
        name: str(values.dtype).removeprefix("torch.") for name, values in wanted.items()
    }
    assert {name: values.shape for name, values in found.items()} == {
        name: tuple(v.shape) for name, v in wanted.items()
    }
    net.load_state_dict({name: torch.from_numpy(values) for name, values in found.items()})
    return [int(values) for name, values in found.items() if name.endswith("num_batches_tracked")]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_counters_go_through_every_strategy(strategy, normed, tmp_path):
    run(tmp_path / "run", f"'{normed}'", strategy)
    net = models.build(normed, input_shape=(1, 8, 8), num_classes=10, seed=3)
    steps = loaded(tmp_path / "run", net)[0]
    # Three rounds of 11 or 12 steps, of which adaptive servers and q-FedAvg take a small part and momentum more.
    assert steps > 20 or strategy in ("fedadam", "fedadagrad", "fedyogi", "qfedavg", "{name: fedasync, concurrency: 4}")


@pytest.mark.parametrize("wire", ["int8", "topk:0.5+int8+zstd", "fp16"])
def test_counters_go_through_every_codec(wire, normed, tmp_path):
    more = f"wire: {{up: {wire}, down: fp16, error_feedback: {str('topk' in wire).lower()}}}"
    result = run(tmp_path / "run", f"'{normed}'", "fedmedian", more=more)
    # From the second round on the strategy hands out a float64 median of counters; devices get integers all the same.
    assert result.clients["down_bytes"].n_unique() == 1
    net = models.build(normed, input_shape=(1, 8, 8), num_classes=10, seed=3)
    # 1437 training rows on 8 devices, 16 at a time: 11 or 12 steps in each of 3 rounds.
    assert 33 <= loaded(tmp_path / "run", net)[0] <= 36


def test_a_stock_model_with_batch_norm_runs(tmp_path):
    run(tmp_path / "run", "{name: resnet8, norm: batch}", "fedavg", clients=2, rounds=1, batch=64)
    net = models.build("resnet8", input_shape=(1, 8, 8), num_classes=10, seed=3, norm="batch")
    assert set(loaded(tmp_path / "run", net)) == {3}


def test_an_app_with_batch_norm_runs_and_leaves_its_model_in_its_types(app_fleet, tmp_path):
    folder = write_app(tmp_path / "app")
    task = folder / "digits_app" / "task.py"
    text = task.read_text(encoding="utf-8")
    plain = "self.hidden = nn.Linear(64, 64)"
    assert text.count(plain) == 1
    normed = "self.hidden = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64))"
    task.write_text(text.replace(plain, normed), encoding="utf-8")
    result = runner.run_app(
        folder, app_fleet(4), settings=LOCAL, run_config="num-server-rounds=2", out=tmp_path / "run"
    )
    assert result.summary["outcomes"] == {"arrived": result.summary["outcomes"]["arrived"]}
    found = RunDirectory(tmp_path / "run").read_model()
    counters = {name: values for name, values in found.items() if name.endswith("num_batches_tracked")}
    assert [(values.dtype.name, values.shape) for values in counters.values()] == [("int64", ())]


@pytest.mark.parametrize("rule", [FedBuff(1), FedAsync(mixing=0.9, staleness_exponent=0.0)])
def test_asynchronous_rules_round_counters(rule):
    old = [np.array(0, np.int64), np.zeros(2, np.float32)]
    # FedBuff with one reply of staleness 1 takes 2^-0.5 of the step: 0.71 of 1; FedAsync takes 0.9 of it.
    new = rule.take(old, old, [np.array(1, np.int64), np.ones(2, np.float32)], 1)
    assert new is not None
    assert (new[0].dtype, new[0].shape, int(new[0])) == (np.int64, (), 1)
    assert new[1].dtype == np.float32


def test_records_keep_types_and_shapes():
    arrays = [np.array(2**40, np.int64), np.float32([[1, 2], [3, 4]]).T, np.array([True, False]), np.float64(0.5)]
    arrays = [np.asarray(array) for array in arrays]
    back = from_record(to_record(["a", "b", "c", "d"], arrays))
    assert [(a.dtype, a.shape, a.tolist()) for a in back] == [(a.dtype, a.shape, a.tolist()) for a in arrays]
    wide = averageable(arrays)
    assert [a.dtype.name for a in wide] == ["float64", "float32", "float64", "float64"]
    again = in_types(wide, types_of(arrays))
    assert [(a.dtype, a.shape, a.tolist()) for a in again] == [(a.dtype, a.shape, a.tolist()) for a in arrays]


def test_in_types_rounds_to_the_nearest():
    values = in_types([np.array([1.6, -1.6, 0.4])], [np.dtype(np.int32)])
    assert values[0].tolist() == [2, -2, 0]


def test_distinct_finds_the_first_of_each():
    firsts, which = distinct(["b", "a", "B", "b", "c"], str.lower)
    assert (firsts, which.tolist()) == (["b", "a", "c"], [0, 1, 0, 0, 2])
    assert distinct([], str)[1].dtype == np.int64
