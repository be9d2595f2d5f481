"""The trainer against textbook loops written with torch.optim, and its promises about randomness and state."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from fedlite.errors import FedliteError, UnknownNameError
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.learning.training.schedule import schedules


def _net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def _arrays(model):
    return [tensor.detach().numpy().copy() for tensor in model.state_dict().values()]


def _data(rows=60):
    draw = np.random.default_rng(3)
    return draw.normal(size=(rows, 6)).astype(np.float32), draw.integers(0, 3, rows)


def _textbook(model, job, x, y, config, optimizer):
    """Train as a tutorial would, on the batches of the schedule; return the arrays and the last epoch's mean loss."""
    model = copy.deepcopy(model)
    start = [p.detach().clone() for p in model.parameters()]
    rule = optimizer(model.parameters())
    (plan,) = schedules([job], config)
    total, count = 0.0, 0
    for step in range(plan.steps):
        rows = plan.rows[plan.bounds[step] : plan.bounds[step + 1]]
        rule.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]))
        near = sum(((p - s) ** 2).sum() for p, s in zip(model.parameters(), start, strict=True))
        (loss + config.proximal_mu / 2 * near).backward()
        rule.step()
        if step >= plan.last_epoch:
            total, count = total + loss.item() * len(rows), count + len(rows)
    return _arrays(model), total / count


CASES = {
    "sgd": (LocalConfig(epochs=2, batch_size=7, lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum and decay": (
        LocalConfig(epochs=3, batch_size=10, lr=0.05, momentum=0.9, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    ),
    "adam": (
        LocalConfig(epochs=2, batch_size=8, lr=0.01, optimizer="adam", weight_decay=0.01),
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
    ),
    "proximal": (
        LocalConfig(epochs=3, batch_size=7, lr=0.1, proximal_mu=0.5),
        lambda p: torch.optim.SGD(p, lr=0.1),
    ),
}


@pytest.mark.parametrize("mode", ["sequential", "batched"])
@pytest.mark.parametrize("case", CASES)
def test_training_equals_a_textbook_loop(case, mode):
    config, optimizer = CASES[case]
    model, (x, y) = _net(), _data()
    jobs = [ClientJob(np.arange(23), seed=5), ClientJob(np.arange(20, 57), seed=6)]
    result = Trainer(model, mode=mode).train(_arrays(model), jobs, x, y, config)
    assert result.mode == mode
    for k, job in enumerate(jobs):
        expected, loss = _textbook(model, job, x, y, config, optimizer)
        for got, want in zip(result.arrays, expected, strict=True):
            np.testing.assert_allclose(got[k], want, rtol=1e-4, atol=2e-6)
        assert result.loss[k] == pytest.approx(loss, rel=1e-5)
        assert result.num_examples[k] == len(job.indices)


def test_every_epoch_sees_each_sample_once_and_keeps_the_last_short_batch():
    job = ClientJob(np.arange(100, 123), seed=9)
    (plan,) = schedules([job], LocalConfig(epochs=3, batch_size=10))
    assert np.diff(plan.bounds).tolist() == [10, 10, 3] * 3
    assert plan.last_epoch == 6
    epochs = plan.rows.reshape(3, 23)
    for epoch in epochs:
        assert sorted(epoch) == list(range(100, 123))
    assert not np.array_equal(epochs[0], epochs[1])


def test_the_batches_of_a_job_do_not_depend_on_its_company():
    config = LocalConfig(epochs=2, batch_size=4)
    jobs = [ClientJob(np.arange(n), seed=n) for n in (5, 31, 0, 8)]
    together = schedules(jobs, config)
    for job, plan in zip(jobs, together, strict=True):
        (alone,) = schedules([job], config)
        assert np.array_equal(alone.rows, plan.rows)
        assert np.array_equal(alone.bounds, plan.bounds)


def test_a_seed_beyond_63_bits_names_an_order_of_its_own():
    config = LocalConfig(batch_size=50)
    orders = [schedules([ClientJob(np.arange(50), seed)], config)[0].rows for seed in (2**64 - 1, 2**63 + 1, 1, -1)]
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert np.array_equal(orders[0], orders[3]), "-1 and 2**64 - 1 are the same 64 bits"


@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_max_steps_stops_a_job_in_mid_epoch(mode):
    model, (x, y) = _net(), _data()
    jobs = [ClientJob(np.arange(30), seed=1), ClientJob(np.arange(5), seed=2)]
    result = Trainer(model, mode=mode).train(
        _arrays(model), jobs, x, y, LocalConfig(epochs=4, batch_size=10, max_steps=5)
    )
    assert result.steps.tolist() == [5, 4]


@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_a_client_without_samples_returns_the_global_model(mode):
    model, (x, y) = _net(), _data()
    jobs = [ClientJob(np.empty(0, dtype=np.int64), seed=1), ClientJob(np.arange(9), seed=2)]
    result = Trainer(model, mode=mode).train(_arrays(model), jobs, x, y, LocalConfig())
    for got, start in zip(result.arrays, _arrays(model), strict=True):
        assert np.array_equal(got[0], start)
    assert np.isnan(result.loss[0])
    assert result.steps.tolist() == [0, 1]


@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_repeating_a_chunk_gives_the_same_bits(mode):
    model, (x, y) = _net(), _data()
    jobs = [ClientJob(np.arange(k, k + 20), seed=k) for k in range(6)]
    first, second = (
        Trainer(model, mode=mode).train(_arrays(model), jobs, x, y, LocalConfig(epochs=2, batch_size=6))
        for _ in range(2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first.arrays, second.arrays, strict=True))
    assert np.array_equal(first.loss, second.loss)


@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_nothing_outside_is_changed(mode):
    model, (x, y) = _net(), _data()
    arrays = _arrays(model)
    for array in (x, y, *arrays):
        array.setflags(write=False)
    before = torch.random.get_rng_state().clone(), _arrays(model), torch.get_num_threads()
    Trainer(model, mode=mode).train(arrays, [ClientJob(np.arange(20), k) for k in range(3)], x, y, LocalConfig())
    Trainer(model, mode=mode).evaluate(arrays, x, y)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert all(np.array_equal(a, b) for a, b in zip(_arrays(model), before[1], strict=True))
    assert torch.get_num_threads() == before[2]


def test_dropout_is_drawn_from_the_job_and_not_from_the_global_state():
    model, (x, y) = nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 3)), _data()
    trainer = Trainer(model)

    def run(seed):
        return trainer.train(_arrays(model), [ClientJob(np.arange(30), seed)] * 2, x, y, LocalConfig(lr=0.1))

    torch.manual_seed(1)
    first = run(4)
    torch.manual_seed(2)
    second, other = run(4), run(5)
    assert first.mode == "sequential"
    assert np.array_equal(first.arrays[0][0], second.arrays[0][1])
    assert not np.array_equal(first.arrays[0][0], other.arrays[0][0])


def test_batch_statistics_travel_with_the_arrays_and_keep_their_types():
    model, (x, y) = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), _data()
    names = list(model.state_dict())
    arrays = _arrays(model)
    result = Trainer(model).train(arrays, [ClientJob(np.arange(30), 1)] * 2, x, y, LocalConfig(batch_size=10))
    counter = result.arrays[names.index("1.num_batches_tracked")]
    assert counter.dtype == np.int64
    assert counter.tolist() == [3, 3]
    assert not np.array_equal(result.arrays[names.index("1.running_mean")][0], arrays[names.index("1.running_mean")])


@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_frozen_parameters_stay(mode):
    model, (x, y) = _net(), _data()
    model[1].weight.requires_grad_(False)
    arrays = _arrays(model)
    result = Trainer(model, mode=mode).train(
        arrays, [ClientJob(np.arange(20), k) for k in range(3)], x, y, LocalConfig()
    )
    assert np.array_equal(result.arrays[0], np.repeat(arrays[0][None], 3, axis=0))
    assert not np.array_equal(result.arrays[1][0], arrays[1])


def test_evaluation_agrees_with_scikit_learn():
    model, (x, y) = _net(), _data()
    y = y + (y == 1)  # class 1 never occurs
    metrics = Trainer(model).evaluate(_arrays(model), x, y, batch_size=7)
    with torch.no_grad():
        logits = model(torch.from_numpy(x))
    predicted = logits.argmax(1).numpy()
    assert list(metrics.metrics) == ["accuracy", "loss", "macro_f1"]
    assert metrics.metrics["accuracy"] == pytest.approx(np.mean(predicted == y))
    assert metrics.metrics["macro_f1"] == pytest.approx(f1_score(y, predicted, average="macro", zero_division=0))
    entropy = nn.functional.cross_entropy(logits, torch.from_numpy(y)).item()
    assert metrics.metrics["loss"] == pytest.approx(entropy, rel=1e-6)
    assert metrics.num_examples == 60


def test_evaluation_without_samples_is_nan_and_not_an_error():
    model = _net()
    metrics = Trainer(model).evaluate(_arrays(model), np.empty((0, 6), np.float32), np.empty(0, np.int64))
    assert np.isnan([metrics.metrics[name] for name in ("loss", "accuracy", "macro_f1")]).all()
    assert metrics.num_examples == 0


def test_evaluating_many_clients_in_one_pass_equals_one_by_one():
    model, (x, y) = _net(), _data()
    owner = np.array([7, 2, 2, -1, 9, 7] * 10)
    trainer = Trainer(model)
    many = trainer.evaluate_many(_arrays(model), x, y, owner)
    assert many.client.tolist() == [2, 7, 9]
    assert many.num_examples.tolist() == [20, 20, 10]
    for i, client in enumerate(many.client):
        one = trainer.evaluate(_arrays(model), x[owner == client], y[owner == client])
        for name, value in one.metrics.items():
            assert many.metrics[name][i] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"epochs": 0}, "training.epochs: got 0"),
        ({"lr": float("nan")}, "training.lr: got nan"),
        ({"optimizer": "adam", "momentum": 0.9}, "write optimizer: sgd"),
        ({"optimizer": "lion"}, "got 'lion', expected one of adam, sgd"),
    ],
)
def test_impossible_settings_are_refused(change, text):
    with pytest.raises(FedliteError, match=text):
        LocalConfig(**change)


def test_arrays_of_another_model_are_refused_by_name():
    model, (x, y) = _net(), _data()
    arrays = _arrays(model)
    with pytest.raises(FedliteError, match=r"1\.weight: got shape \(8, 5\), expected \(8, 6\)"):
        Trainer(model).train([arrays[0][:, :5], *arrays[1:]], [], x, y, LocalConfig())
    with pytest.raises(FedliteError, match="got 3, expected 4"):
        Trainer(model).evaluate(arrays[:3], x, y)


def test_rows_outside_the_data_are_refused():
    model, (x, y) = _net(), _data()
    with pytest.raises(FedliteError, match=r"rows 0\.\.60, expected rows in 0\.\.59"):
        Trainer(model).train(_arrays(model), [ClientJob(np.arange(61), 1)], x, y, LocalConfig())


def test_unknown_modes_and_objectives_are_refused():
    with pytest.raises(UnknownNameError, match="trainer mode"):
        Trainer(_net(), mode="fast")
    with pytest.raises(UnknownNameError, match="objective"):
        Trainer(_net(), objective="hinge")
