"""One battery that every objective passes: those that ship, those of the documentation, and any of a user's own."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from own import references
from torch import nn

from fedlite.errors import FedliteError, UnknownNameError
from fedlite.learning import objectives
from fedlite.learning.data import Dataset
from fedlite.learning.objectives import OBJECTIVES, Metric, MisfitError, Objective
from fedlite.learning.objectives.cross_entropy import CrossEntropy
from fedlite.learning.objectives.fitting import check_fit
from fedlite.learning.training import ClientJob, LocalConfig, Trainer


class Smoothed(CrossEntropy):
    """Cross entropy with smoothed labels: a class of ours with a loss of its own, for which no short cut may stand."""

    name = "smoothed"

    def losses(self, outputs, targets):
        return nn.functional.cross_entropy(outputs, targets, reduction="none", label_smoothing=0.2)


class Absolute(Objective):
    """Mean absolute error, judged by the share of samples that are close."""

    name = "absolute"
    metrics = (Metric("close", "max", "share"), Metric("loss", "min"))

    def losses(self, outputs, targets):
        return (outputs - targets).abs().mean(dim=1)

    def score(self, outputs, targets):
        return (outputs - targets).abs().amax(dim=1) < 1

    def summary(self, scores, targets, losses):
        return {"close": float(scores.mean()), "loss": float(losses.mean())}

    def check(self, output_shape, target_shape, target_dtype, num_classes):
        if output_shape != target_shape:
            raise MisfitError("absolute: got another shape")


class Silent(Absolute):
    """Promises a metric that it never tells."""

    metrics = (Metric("close", "max"), Metric("never", "min"))


OWN = [f"{__name__}:Smoothed", f"{__name__}:Absolute", "smoothed:Smoothed", *references(Objective)]
NAMES = [*OBJECTIVES, *OWN]


def _net(outputs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, outputs))


def _exits():
    net = _net(6)
    net.append(nn.Unflatten(1, (2, 3)))
    return net


def _problem(name):
    """Return (net, x, y) of a small problem that the objective can learn."""
    draw = np.random.default_rng(8)
    x = draw.normal(size=(90, 2, 3)).astype(np.float32)
    numbers = (x.reshape(90, 6) @ draw.normal(size=(6, 3))).astype(np.float32)
    classes = numbers.argmax(axis=1).astype(np.int64)
    if name == "reconstruction":
        return _net(6), x, classes
    if name == "exits":
        return _exits(), x, classes
    if name == "detection":
        grid = np.zeros((90, 15), np.float32)  # one cell
        grid[:, 0], grid[:, 1:5] = classes > 0, draw.uniform(0.2, 0.8, size=(90, 4))
        grid[np.arange(90), 5 + classes] = classes > 0
        return _net(15), x, grid
    return _net(3), x, classes if _takes(name, x, classes) else numbers


def _takes(name, x, y):
    """Whether an objective learns from these labels."""
    try:
        check_fit(_net(3), objectives.objective(name), _data(x, y))
    except MisfitError:
        return False
    return True


def _arrays(net):
    return [value.detach().numpy().copy() for value in net.state_dict().values()]


@pytest.fixture(params=NAMES, ids=lambda name: name)
def case(request):
    return request.param, objectives.objective(request.param), *_problem(request.param)


def test_it_says_what_it_is(case):
    _, goal, *_ = case
    assert goal.name
    assert goal.columns[0] == goal.main.name == goal.metrics[0].name
    assert sorted(goal.columns) == sorted({"loss", *(metric.name for metric in goal.metrics)})


def test_each_sample_has_one_loss_and_a_loss_depends_on_its_sample_only(case):
    _, goal, net, x, y = case
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    with torch.no_grad():
        outputs = net(inputs)
        whole = goal.losses(outputs, goal.targets(inputs, labels))
        single = [goal.losses(outputs[i : i + 1], goal.targets(inputs[i : i + 1], labels[i : i + 1])) for i in range(9)]
    assert whole.shape == (90,)
    torch.testing.assert_close(torch.cat(single), whole[:9])


@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_one_step_goes_down_the_mean_of_the_losses(case, mode):
    name, goal, net, x, y = case
    inputs, labels = torch.from_numpy(x[:20]), torch.from_numpy(y[:20])
    mean = goal.losses(net(inputs), goal.targets(inputs, labels)).mean()
    slopes = torch.autograd.grad(mean, list(net.parameters()))
    job = ClientJob(np.arange(20), 1)
    config = LocalConfig(batch_size=20, lr=0.1)
    result = Trainer(net, objective=name, mode=mode).train(_arrays(net), [job, job], x, y, config)
    assert result.loss == pytest.approx([mean.item()] * 2, rel=1e-5)
    for got, before, slope in zip(result.arrays, net.parameters(), slopes, strict=True):
        assert torch.isfinite(slope).all()
        want = (before - 0.1 * slope).detach().numpy()
        np.testing.assert_allclose(got, np.stack([want, want]), rtol=1e-4, atol=1e-6)


def test_clients_side_by_side_learn_what_they_learn_alone(case):
    name, _, net, x, y = case
    jobs = [ClientJob(np.arange(begin, end), begin) for begin, end in ((0, 23), (20, 57), (50, 90))]
    config = LocalConfig(epochs=2, batch_size=8, lr=0.05, momentum=0.9)
    alone, together = (
        Trainer(net, objective=name, mode=mode).train(_arrays(net), jobs, x, y, config)
        for mode in ("sequential", "batched")
    )
    np.testing.assert_allclose(together.loss, alone.loss, rtol=1e-4)
    for one, other in zip(alone.arrays, together.arrays, strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-3, atol=2e-5)


def test_training_moves_the_main_metric_towards_its_goal(case):
    name, goal, net, x, y = case
    trainer = Trainer(net, objective=name)
    config = LocalConfig(epochs=30, batch_size=10, lr=0.01, optimizer="adam")
    trained = trainer.train(_arrays(net), [ClientJob(np.arange(90), 1)], x, y, config)
    before = trainer.evaluate(_arrays(net), x, y).metrics
    after = trainer.evaluate([stacked[0] for stacked in trained.arrays], x, y).metrics
    assert list(after) == list(goal.columns)
    gained = after[goal.main.name] - before[goal.main.name]
    assert gained * (1 if goal.main.goal == "max" else -1) > 0.1 * abs(before[goal.main.name])
    assert after["loss"] < before["loss"]


def test_metrics_lie_where_their_unit_says(case):
    name, goal, net, x, y = case
    found = Trainer(net, objective=name).evaluate(_arrays(net), x, y).metrics
    for metric in goal.metrics:
        assert np.isfinite(found[metric.name])
        assert 0 <= found[metric.name] <= 1 or metric.unit != "share"


def test_a_clients_metrics_are_those_of_its_own_samples(case):
    name, _, net, x, y = case
    owner = np.array([7, 2, 2, -1, 9, 7] * 15)
    trainer = Trainer(net, objective=name)
    many = trainer.evaluate_many(_arrays(net), x, y, owner)
    assert many.client.tolist() == [2, 7, 9]
    for place, client in enumerate(many.client):
        one = trainer.evaluate(_arrays(net), x[owner == client], y[owner == client])
        assert {key: values[place] for key, values in many.metrics.items()} == pytest.approx(one.metrics, rel=1e-5)


def test_without_samples_every_metric_is_nan(case):
    name, goal, net, x, y = case
    found = Trainer(net, objective=name).evaluate(_arrays(net), x[:0], y[:0])
    assert found.num_examples == 0
    assert list(found.metrics) == list(goal.columns)
    assert np.isnan(list(found.metrics.values())).all()


def _data(x, y):
    numbers = 3 if y.ndim == 1 else y.shape[1]
    return Dataset("small", x, y, x, y, None, None, numbers, x.shape[1:], "none", "this test")


def test_a_model_that_fits_is_taken_and_one_with_another_output_is_refused(case):
    _, goal, net, x, y = case
    check_fit(net, goal, _data(x, y))
    with pytest.raises(MisfitError, match="got"):
        check_fit(_net(5), goal, _data(x, y))


@pytest.mark.parametrize("name", ["cross-entropy", "next-character"])
def test_numbers_are_no_classes(name):
    net, x, y = _problem("regression")
    with pytest.raises(MisfitError, match="write 'objective: regression'"):
        check_fit(net, objectives.objective(name), _data(x, y))


def test_classes_are_no_numbers():
    net, x, y = _problem("cross-entropy")
    with pytest.raises(MisfitError, match="write 'objective: cross-entropy'"):
        check_fit(net, objectives.objective("regression"), _data(x, y))


class _Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("net", "text"),
    [(nn.Linear(99, 3), "got an error from its forward pass"), (_Pair(), "got tuple"), (nn.Flatten(0), r"got \(12,\)")],
)
def test_a_model_that_gives_no_batch_is_refused_by_what_it_gives(net, text):
    _, x, y = _problem("cross-entropy")
    with pytest.raises(MisfitError, match=text):
        check_fit(net, objectives.objective("cross-entropy"), _data(x, y))


def test_an_objective_that_breaks_its_promise_is_refused():
    net, x, y = _problem("regression")
    with pytest.raises(MisfitError, match="got a summary without never"):
        check_fit(net, objectives.objective(f"{__name__}:Silent"), _data(x, y))


def test_perplexity_is_the_number_of_characters_left_in_doubt():
    net, x, y = _problem("next-character")
    zeros = [np.zeros_like(array) for array in _arrays(net)]
    found = Trainer(net, objective="next-character").evaluate(zeros, x, y).metrics
    assert found["perplexity"] == pytest.approx(3)


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("hinge", UnknownNameError, "got 'hinge', expected one of cross-entropy"),
        ("no_such_module_here:Loss", FedliteError, "cannot be imported"),
        (f"{__name__}:Missing", FedliteError, rf"there is no 'Missing' in {re.escape(__name__)}, only "),
        ("builtins:dict", FedliteError, "got dict, expected a fedlite.learning.objectives.Objective"),
        ("fedlite.learning.objectives:Objective", FedliteError, "abstract"),
    ],
)
def test_what_is_no_objective_is_refused(name, error, text):
    with pytest.raises(error, match=text):
        objectives.objective(name)


@pytest.mark.parametrize("made", [("A b", "max"), ("accuracy", "most")])
def test_a_metric_has_a_column_name_and_a_direction(made):
    with pytest.raises(FedliteError, match=r"metric.* expected"):
        Metric(*made)


def test_the_objectives_that_ship_are_made_without_torch():
    code = (
        "import sys; from fedlite.learning import objectives as o; [o.objective(n) for n in o.OBJECTIVES]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
