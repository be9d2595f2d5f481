"""The path of an accelerator is the code of the processor: on a device that is not it, everything learns the same."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from elsewhere import UNREPEATED, MixedDevicesError, device, elsewhere
from torch import nn

from fedlite import runner
from fedlite.client.worker import ClientWorker
from fedlite.compression.constraint import CONSTRAINTS
from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import made
from fedlite.compression.plan import Plan
from fedlite.compression.structure.integer_training import IntegerTraining
from fedlite.compression.structure.quantised_net import QuantisedNet
from fedlite.engine.task import Task
from fedlite.learning import objectives
from fedlite.learning.data.load import load
from fedlite.learning.models import MODELS, build
from fedlite.learning.models.spec import spec_of
from fedlite.learning.objectives import OBJECTIVES
from fedlite.learning.objectives.terms import TERMS
from fedlite.learning.objectives.terms.base import Term
from fedlite.learning.training import ClientJob, LocalConfig, Trainer, accelerator
from fedlite.learning.training.place import Place, Table
from fedlite.scenario.loader import parse_scenario

SHAPES = {"mlp": (12,), "autoencoder": (12,), "lenet5": (1, 28, 28), "cnn": (1, 28, 28), "cnn1d": (6, 40)}
SHAPES |= {"ds-cnn": (1, 49, 10), "char-lstm": (8,), "char-transformer": (8,)}
PARTS = {
    "magnitude": {"sparsity": 0.5},
    "fake-quant": {"bits": 8},
    "binary": {"ends": True},
    "mixed-bits": {"bits": [["1.*", 4]]},
    "multilevel": {},
    "progressive": {"sparsity": 0.6, "rounds": 1, "first": 0, "initial": 0.4},
    "regrow": {"sparsity": 0.5, "every": 1, "share": 0.2},
    "shared": {"clusters": 4},
    "ternary:Ternary": {},
    "distillation": {},
    "group-lasso": {},
    "relational-distillation": {"layer": "0"},
    "feature-distillation": {"layer": "0"},
    "generative-distillation": {"layer": "0"},
    "task-distillation": {},
    "confidence:ConfidencePenalty": {},
}
"""A part of each kind, and of one's own, with its options."""
SIZES = (14, 6, 10)
CONFIG = LocalConfig(epochs=2, batch_size=4, lr=0.05, momentum=0.9, proximal_mu=0.1, weight_decay=0.01)


class Dropping(nn.Module):
    """A net that draws, has a buffer, and a parameter that is not trained."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3))
        self.layers[0].bias.requires_grad_(False)

    def forward(self, x):
        return self.layers(x)


def rows(shape, classes=3, samples=30):
    draw = np.random.default_rng(2)
    x = draw.normal(size=(samples, *shape)).astype(np.float32)
    return x, draw.integers(0, classes, samples)


def scenes():
    """A small detector, and a few pictures of objects."""
    data = load("digit-scenes")
    net = build("detector", input_shape=data.input_shape, num_classes=data.num_classes, seed=1)
    return net, data.x_train[:30], data.y_train[:30]


def jobs(samples=30):
    draw = np.random.default_rng(5)
    return [ClientJob(draw.choice(samples, size, replace=False), seed=k) for k, size in enumerate(SIZES)]


def both(model, x, y, *, mode, objective="cross-entropy", config=CONFIG, clients=None, **parts):
    """Train the clients here and elsewhere, test the last of them, and check that it comes to the same."""
    arrays = [value.detach().numpy() for value in model.state_dict().values()]
    results, scores = [], []
    for place in (Place(), Place(device())):
        with elsewhere() as there:
            trainer = Trainer(model, objective=objective, mode=mode, place=place)
            results.append(trainer.train(arrays, jobs(len(x))[:clients], x, y, config, **parts))
            assert there.stops == 0
            assert not there.ran & UNREPEATED, there.ran & UNREPEATED
            last = [stacked[-1] for stacked in results[-1].arrays]
            scores.append(trainer.evaluate_many(last, x, y, np.arange(len(x)) % 3))
            assert bool(there.sent) == (not place.is_host)
    here, away = results
    assert (here.mode, away.mode) == (mode, mode)
    for mine, other in zip((*here.arrays, here.loss, *here.start), (*away.arrays, away.loss, *away.start), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    assert [None if mask is None else mask.tolist() for mask in here.held or []] == [
        None if mask is None else mask.tolist() for mask in away.held or []
    ]
    assert not np.allclose(here.arrays[0][0], arrays[0])
    for name, values in scores[0].metrics.items():
        np.testing.assert_allclose(values, scores[1].metrics[name], rtol=1e-4, atol=1e-5)
    return here, away


@pytest.mark.parametrize(
    "name", [name for name in MODELS if name in SHAPES and name not in ("autoencoder", "char-lstm", "char-transformer")]
)
@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_models_learn_the_same_elsewhere_in_both_modes(name, mode):
    # Convolutions of the processor take other ways here than there, and what differs in the last bit grows.
    x, y = rows(SHAPES[name])
    config = LocalConfig(batch_size=4, lr=0.01)
    both(build(name, input_shape=SHAPES[name], num_classes=3, seed=1), x, y, mode=mode, config=config)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in (*SHAPES, "detector")])
def test_deep_models_learn_the_same_elsewhere(name):
    x, y = rows((3, 32, 32), samples=6)
    model = build(name, input_shape=(3, 32, 32), num_classes=3, seed=1)
    arrays = [value.detach().numpy() for value in model.state_dict().values()]
    config = LocalConfig(batch_size=2, lr=0.001, max_steps=1)
    job = [ClientJob(np.arange(2), seed=1)]
    here = Trainer(model, mode="sequential").train(arrays, job, x, y, config)
    with elsewhere() as there:
        away = Trainer(model, mode="sequential", place=Place(device())).train(arrays, job, x, y, config)
    assert there.stops == 0
    assert not there.ran & UNREPEATED
    for mine, other in zip(here.arrays, away.arrays, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-4)


def test_a_text_model_learns_the_same_elsewhere():
    x = np.random.default_rng(2).integers(0, 5, (30, 8)).astype(np.float32)
    y = x[:, -1].astype(np.int64)
    lstm = build("char-lstm", input_shape=(8,), num_classes=5, seed=1, units=6)
    transformer = build("char-transformer", input_shape=(8,), num_classes=5, seed=1, features=8, heads=2, hidden=16)
    both(lstm, x, y, mode="sequential", objective="next-character")
    both(transformer, x, y, mode="sequential", objective="next-character")
    both(transformer, x, y, mode="batched", objective="next-character")


@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_a_perceptron_learns_the_same_bits(mode):
    """The device computes as the processor does, so that only another order of operations could change a bit."""
    x, y = rows((12,))
    here, away = both(build("mlp", input_shape=(12,), num_classes=3, seed=1), x, y, mode=mode)
    assert all(np.array_equal(mine, other) for mine, other in zip(here.arrays, away.arrays, strict=True))
    assert np.array_equal(here.loss, away.loss)


def test_dropout_draws_the_same_and_buffers_come_back():
    x, y = rows((12,))
    torch.manual_seed(0)
    model = Dropping()
    before = torch.get_rng_state()
    here, away = both(model, x, y, mode="sequential")
    assert torch.equal(torch.get_rng_state(), before)
    counts = next(i for i, array in enumerate(here.arrays) if array.dtype == np.int64)
    assert here.arrays[counts].tolist() == away.arrays[counts].tolist() != [0, 0, 0]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_both_optimisers_work_elsewhere(optimizer, mode):
    x, y = rows((12,))
    config = LocalConfig(epochs=1, batch_size=4, lr=0.01, optimizer=optimizer)
    both(build("mlp", input_shape=(12,), num_classes=3, seed=1), x, y, mode=mode, config=config)


@pytest.mark.parametrize("name", [*OBJECTIVES, "smoothed:Smoothed"])
@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_objectives_work_elsewhere(name, mode):
    if name == "exits":
        x, y = rows((1, 4, 4))
        net = build("cnn-exits", input_shape=(1, 4, 4), num_classes=3, seed=1, channels=(4, 4, 4), outputs="all")
        both(net, x, y, mode=mode, objective=objectives.objective(name))
        return
    if name == "detection":
        both(*scenes(), mode=mode, objective=name, config=LocalConfig(batch_size=4, lr=0.01))
        return
    x, y = rows((12,))
    kind = "autoencoder" if name == "reconstruction" else "mlp"
    if name == "regression":
        y = x[:, :3].copy()
    both(build(kind, input_shape=(12,), num_classes=3, seed=1), x, y, mode=mode, objective=objectives.objective(name))


@pytest.mark.parametrize("name", [*CONSTRAINTS, "ternary:Ternary"])
@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_constraints_work_elsewhere(name, mode):
    x, y = rows((12,))
    constraint = made(name, PARTS[name], CONSTRAINTS, Constraint)
    mode, clients = ("sequential", 1) if constraint.individual else (mode, None)
    model = build("mlp", input_shape=(12,), num_classes=3, seed=1)
    both(model, x, y, mode=mode, clients=clients, constraints=[constraint])


@pytest.mark.parametrize("structure", [QuantisedNet(), IntegerTraining()], ids=lambda part: part.name)
def test_nets_of_other_layers_learn_the_same_elsewhere(structure):
    x, y = rows((12,))
    both(structure.build(spec_of("mlp", (12,), 3, 1)), x, y, mode="sequential", config=LocalConfig(lr=0.01))


@pytest.mark.parametrize("name", [*TERMS, "confidence:ConfidencePenalty"])
def test_terms_work_elsewhere(name):
    term = made(name, PARTS[name], TERMS, Term)
    if name == "task-distillation":
        config = LocalConfig(batch_size=4, lr=0.01)
        both(*scenes(), mode="sequential", objective="detection", terms=[term], config=config)
        return
    x, y = rows((12,))
    both(build("mlp", input_shape=(12,), num_classes=3, seed=1), x, y, mode="sequential", terms=[term])


def test_gradients_of_every_sample_are_found_elsewhere():
    class Bounded(Constraint):
        name = "bounded"
        per_sample = True

        def gradients(self, gradients, state, *, stacked):
            return [each.clamp(-0.01, 0.01).mean(dim=0) for each in gradients]

    x, y = rows((12,))
    both(build("mlp", input_shape=(12,), num_classes=3, seed=1), x, y, mode="sequential", constraints=[Bounded()])


def test_a_constraint_that_forgets_the_device_is_caught():
    class Forgetful(Constraint):
        name = "forgetful"

        def after(self, parameters, state, *, stacked):
            parameters[0].mul_(torch.ones(parameters[0].shape))

    x, y = rows((12,))
    model = build("mlp", input_shape=(12,), num_classes=3, seed=1)
    arrays = [value.detach().numpy() for value in model.state_dict().values()]
    with elsewhere(), pytest.raises(MixedDevicesError, match="mul_"):
        Trainer(model, place=Place(device())).train(arrays, jobs(), x, y, CONFIG, constraints=[Forgetful()])


def test_the_device_sees_the_operations_of_backward_passes():
    """Else it could not tell that none of them is one that does not repeat itself."""
    with elsewhere() as there:
        x = torch.ones(1, 1, 4, 4).to(device()).requires_grad_()
        torch.autograd.grad(nn.AdaptiveAvgPool2d(2)(x).sum(), x)
    assert there.ran & UNREPEATED == {"_adaptive_avg_pool2d_backward"}


@pytest.mark.parametrize("mode", ["sequential", "batched"])
def test_what_comes_back_does_not_grow_with_the_steps(mode):
    x, y = rows((12,))
    model = build("mlp", input_shape=(12,), num_classes=3, seed=1)
    arrays = [value.detach().numpy() for value in model.state_dict().values()]
    back = []
    for epochs in (1, 4):
        with elsewhere() as there:
            trainer = Trainer(model, mode=mode, place=Place(device()))
            trainer.train(arrays, jobs(), x, y, LocalConfig(epochs=epochs, batch_size=4, lr=0.1))
        back.append(len(there.returned))
    assert back[0] == back[1] > 0


@pytest.fixture
def accelerated(monkeypatch):
    """A machine on which torch sees an accelerator: the device elsewhere."""
    monkeypatch.setattr(accelerator, "visible", lambda: {"cuda": "one that is none"})
    monkeypatch.setattr(
        accelerator.Accelerator,
        "device",
        lambda self: torch.device("cpu") if self.kind == "none" else device(),
    )


def test_a_worker_moves_its_data_once(accelerated):
    x, y = rows((12,), samples=400)
    data = {
        "x": x,
        "y": y,
        "rows": np.arange(30),
        "starts": np.array([0, 10, 15, 30]),
        "test_x": x[:9],
        "test_y": y[:9],
        "test_rows": np.arange(9),
        "test_starts": np.array([0, 4, 4, 9]),
    }
    spec = spec_of("mlp", (12,), 3, 1, hidden=(4,))
    where = {"kind": "cuda", "model": "one that is none"}
    worker = ClientWorker(data, spec.record, asdict(CONFIG), "cross-entropy", "batched", accelerator=where)
    received = {str(i): value.detach().numpy() for i, value in enumerate(spec.build().state_dict().values())}
    meta = {"plan": Plan().record, "sum": False, "equal_weights": False, "config": {}, "round": 1}
    arrays = {"clients": np.arange(3), "seeds": np.arange(3, dtype=np.uint64)}
    times = []
    for _ in range(2):
        with elsewhere() as there:
            worker.run(Task("train", meta, arrays), received)
            worker.run(Task("evaluate", meta, arrays), received)
        times.append(there.sent.count(x.nbytes))
    assert times == [1, 0]


def test_a_table_gives_rows_of_any_index(accelerated):
    x, _ = rows((2, 3))
    index = np.array([[3, 0], [29, 3]])
    with elsewhere():
        table = Table(x, Place(device()))
        found = table.take(table.index(index)[1][:1]).cpu().numpy(), table.take(table.index(index)).cpu().numpy()
    assert np.array_equal(found[0], x[[29]])
    assert np.array_equal(found[1], x[index])
    assert table.shape == (30, 2, 3)


RUN = """
name: away
seed: 4
fleet: {devices: 8, mix: {pixel-8: 1}, availability: always}
task: {data: digits, model: mlp}
training: {rounds: 2, clients_per_round: 4, local: {epochs: 1, batch_size: 8, lr: 0.1}, evaluate_every: 1}
wire: {up: int8, down: fp16}
"""


def manifest(run):
    return json.loads((run.path / "manifest.json").read_text())


def test_a_whole_run_computes_elsewhere_and_says_so(accelerated, tmp_path):
    """Codecs, sums and tests included; the device computes as the processor does, so that the bits are its."""
    here = runner.run(parse_scenario(RUN), out=tmp_path / "here", settings=runner.Settings("local"))
    with elsewhere() as there:
        settings = runner.Settings("local", accelerator="auto")
        away = runner.run(parse_scenario(RUN), out=tmp_path / "away", settings=settings)
    assert there.sent
    assert there.stops == 0
    assert away.summary["digest"] == here.summary["digest"]
    assert away.summary["metrics"] == here.summary["metrics"]
    told = manifest(away)["accelerator"]
    assert (told["kind"], told["model"]) == ("cuda", "one that is none")
    assert "compute on cuda (one that is none)" in told["promise"]
    assert manifest(here)["accelerator"]["kind"] == "none"
    assert manifest(here)["program"]["versions"]["accelerator"] == "none"
    assert manifest(away)["program"]["versions"]["accelerator"] == "cuda (one that is none)"
