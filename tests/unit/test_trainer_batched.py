"""Clients side by side learn what they learn alone, for every supported layer; the rest falls back or is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.constraint.magnitude import masks as magnitude_masks
from fedlite.errors import FedliteError
from fedlite.learning.models import build
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.learning.training.dense import dense_chain
from fedlite.learning.training.modes import capability_of, tile_clients
from fedlite.learning.training.stacked_program import UnsupportedModelError, compile_program
from fedlite.learning.training.template import Template

SIZES = (25, 3, 10, 1, 0, 14)


class Residual(nn.Module):
    """A residual block, a concatenation and a mean, as residual nets and SqueezeNet write them."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(inplace=True))
        self.side = nn.Conv2d(4, 2, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        y = self.inner(x) + x
        y = torch.cat([torch.relu(y), self.side(y)], dim=1)
        return self.head(y.mean(dim=(2, 3)))


class Odd(nn.Module):
    """A forward pass outside the compiler's tables, which `vmap` can still map."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)
        self.frequency = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.second(torch.sin(self.first(x) * self.frequency))


class Backwards(nn.Module):
    """A perceptron whose layers are defined in another order than they run."""

    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Linear(6, 3), nn.Linear(6, 6)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


class Twice(nn.Module):
    """A layer that runs twice, so that its gradient has two parts."""

    def __init__(self):
        super().__init__()
        self.inner, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.last(torch.relu(self.inner(torch.relu(self.inner(x)))))


NETS = {
    "perceptron": (
        (6,),
        lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)),
    ),
    "tanh": ((2, 3), lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Linear(8, 3))),
    "sequence": (
        (4, 6),
        lambda: nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.GELU(), nn.Flatten(), nn.Linear(20, 3)),
    ),
    "cnn": (
        (2, 8, 8),
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, bias=False), nn.ReLU(),
            nn.Flatten(), nn.Linear(24, 3),
        ),
    ),
    "cnn1d": (
        (3, 20),
        lambda: nn.Sequential(
            nn.Conv1d(3, 4, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 6, 3, dilation=2),
            nn.AvgPool1d(1), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3),
        ),
    ),
    "depthwise": (
        (4, 6, 5),
        lambda: nn.Sequential(
            nn.Conv2d(4, 8, (3, 2), stride=(2, 1), groups=4, bias=False), nn.GroupNorm(4, 8), nn.ReLU6(),
            nn.Conv2d(8, 6, 1), nn.AvgPool2d(2, padding=1), nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten(),
            nn.Linear(12, 3),
        ),
    ),
    "units in groups": (
        (6,),
        lambda: nn.Sequential(nn.Linear(6, 8), nn.GroupNorm(2, 8), nn.ReLU(inplace=True), nn.Linear(8, 3)),
    ),
    "residual": ((4, 6, 6), Residual),
    "vmapped": ((6,), Odd),
    "backwards": ((6,), Backwards),
    "twice": ((6,), Twice),
}  # fmt: skip

CONFIGS = {
    "sgd": LocalConfig(epochs=2, batch_size=8, lr=0.05),
    "momentum": LocalConfig(epochs=2, batch_size=8, lr=0.02, momentum=0.9, weight_decay=0.01),
    "adam": LocalConfig(epochs=1, batch_size=8, lr=0.005, optimizer="adam"),
    "proximal": LocalConfig(epochs=2, batch_size=8, lr=0.05, proximal_mu=0.3),
}


def _case(net):
    shape, factory = NETS[net]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = factory()
    draw = np.random.default_rng(4)
    x, y = draw.normal(size=(80, *shape)).astype(np.float32), draw.integers(0, 3, 80)
    jobs = [ClientJob(draw.choice(80, n, replace=False), seed=k) for k, n in enumerate(SIZES)]
    return model, [tensor.detach().numpy().copy() for tensor in model.state_dict().values()], jobs, x, y


def _both(net, config, **how):
    model, arrays, jobs, x, y = _case(net)
    return [Trainer(model, mode=mode).train(arrays, jobs, x, y, config, **how) for mode in ("sequential", "batched")]


def test_transformers_side_by_side_learn_what_they_learn_alone():
    _, _, jobs, x, _ = _case("perceptron")
    x = (10 * np.abs(x)).astype(np.int64).clip(max=4).astype(np.float32)
    sizes = {"features": 8, "heads": 2, "hidden": 12}
    model = build("char-transformer", input_shape=(6,), num_classes=5, seed=1, **sizes)
    arrays = [tensor.numpy().copy() for tensor in model.state_dict().values()]
    results = [
        Trainer(model, mode=mode, objective="next-character").train(
            arrays, jobs, x, x[:, 2].astype(np.int64), CONFIGS["momentum"]
        )
        for mode in ("sequential", "batched")
    ]
    _assert_alike(*results)
    assert (results[0].loss[:4] < np.log(5)).all(), "what the third character was can be learned"


def _assert_alike(sequential, batched, tolerance=1e-5):
    assert (sequential.mode, batched.mode) == ("sequential", "batched")
    for one, many in zip(sequential.arrays, batched.arrays, strict=True):
        scale = np.abs(one).max()
        np.testing.assert_allclose(many, one, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(batched.loss, sequential.loss, rtol=1e-5)
    assert batched.steps.tolist() == sequential.steps.tolist()
    assert batched.num_examples.tolist() == list(SIZES)


@pytest.mark.parametrize("net", NETS)
def test_side_by_side_equals_one_by_one(net):
    _assert_alike(*_both(net, CONFIGS["sgd"]))


@pytest.mark.parametrize("net", ["perceptron", "cnn", "residual"])
@pytest.mark.parametrize("rule", ["momentum", "adam", "proximal"])
def test_every_optimiser_agrees(net, rule):
    # Adam divides by the root of tiny second moments, which magnifies the last bit of a gradient.
    _assert_alike(*_both(net, CONFIGS[rule]), tolerance=1e-4 if rule == "adam" else 1e-5)


@pytest.mark.parametrize("net", ["perceptron", "cnn", "vmapped"])
@pytest.mark.parametrize("bits", [8, 4])
def test_quantization_aware_training_agrees(net, bits):
    sequential, batched = _both(net, LocalConfig(batch_size=8, lr=0.02), constraints=[FakeQuant(bits)])
    _assert_alike(sequential, batched, tolerance=1e-4)
    plain = _both(net, LocalConfig(batch_size=8, lr=0.02))[1]
    assert not np.allclose(plain.arrays[0], batched.arrays[0], atol=1e-6), "rounding changes what is learnt"


@pytest.mark.parametrize("net", ["perceptron", "cnn", "vmapped"])
def test_masked_weights_are_zero_and_stay_zero(net):
    model, arrays, _, _, _ = _case(net)
    masks = magnitude_masks(arrays, list(model.state_dict()), 0.6)
    sequential, batched = _both(net, CONFIGS["momentum"], constraints=[Magnitude(0.6)])
    _assert_alike(sequential, batched)
    for result in (sequential, batched):
        for array, mask, held in zip(result.arrays, masks, result.held, strict=True):
            np.testing.assert_array_equal(held, mask)
            if mask is not None:
                assert not array[:, mask == 0].any()
                assert array[0][mask == 1].all()


def test_the_hand_written_perceptron_equals_autograd(monkeypatch):
    model, arrays, jobs, x, y = _case("perceptron")
    by_hand = Trainer(model, mode="batched").train(arrays, jobs, x, y, CONFIGS["momentum"])
    monkeypatch.setattr("fedlite.learning.training.trainer.dense_chain", lambda *_: None)
    by_autograd = Trainer(model, mode="batched").train(arrays, jobs, x, y, CONFIGS["momentum"])
    for one, other in zip(by_hand.arrays, by_autograd.arrays, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_only_a_plain_chain_counts_as_a_perceptron():
    def depth(*layers):
        net = nn.Sequential(*layers)
        return dense_chain(compile_program(net), list(net.state_dict()))

    assert depth(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)) == 2
    assert depth(nn.Linear(6, 3)) == 1
    assert depth(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)) is None
    assert depth(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 3)) is None
    assert depth(nn.Linear(6, 4), nn.Linear(4, 3)) is None
    assert depth(nn.Linear(6, 4), nn.ReLU()) is None
    backwards = Backwards()
    assert dense_chain(compile_program(backwards), list(backwards.state_dict())) is None


def test_a_tile_boundary_changes_nothing(monkeypatch):
    model, arrays, jobs, x, y = _case("cnn")
    results = []
    for tile in (1, 2, 64):
        monkeypatch.setattr("fedlite.learning.training.trainer.tile_clients", lambda *_, tile=tile: tile)
        results.append(Trainer(model, mode="batched").train(arrays, jobs, x, y, CONFIGS["sgd"]))
    for other in results[1:]:
        for one, two in zip(results[0].arrays, other.arrays, strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)


def test_equal_maxima_under_a_pool_send_the_gradient_where_torch_sends_it():
    """Black image regions make ties in every pooling window; swapping ReLU and pooling must not move gradients."""
    model, arrays, jobs, x, y = _case("cnn")
    x[:, :, 2:, :] = 0
    sequential, batched = (
        Trainer(model, mode=mode).train(arrays, jobs, x, y, CONFIGS["sgd"]) for mode in ("sequential", "batched")
    )
    _assert_alike(sequential, batched)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular")), "padding mode 'circular'"),
        (nn.Sequential(nn.Bilinear(2, 2, 2)), "Bilinear"),
        (nn.Sequential(nn.Flatten(0, 1)), "partial flatten"),
        (nn.Sequential(nn.Dropout(0.1)), "Dropout"),
    ],
)
def test_the_compiler_says_what_it_does_not_know(module, reason):
    with pytest.raises(UnsupportedModelError, match=reason):
        compile_program(module)


def test_the_rule_is_fixed_and_explains_itself():
    def rule(model, shape):
        return capability_of(Template(model), shape)

    assert rule(nn.Sequential(nn.Linear(6, 3)), (6,)).program is not None
    assert "dropout" in rule(nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.2)), (6,)).reason
    assert "batch statistics" in rule(nn.Sequential(nn.BatchNorm1d(6)), (6,)).reason
    assert "recurrent" in rule(nn.LSTM(6, 3), (4, 6)).reason
    assert rule(Odd(), (6,)).vmap


def test_auto_takes_the_mode_of_the_rule():
    jobs = [ClientJob(np.arange(5), k) for k in range(4)]
    small, large = nn.Sequential(nn.Linear(6, 3)), nn.Sequential(nn.Linear(1000, 600))
    wide = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3))
    assert Trainer(small).mode_for(jobs, (6,)) == "batched"
    assert Trainer(small).mode_for(jobs[:1], (6,)) == "sequential"
    assert Trainer(large).mode_for(jobs, (1000,)) == "sequential"
    assert Trainer(wide).mode_for(jobs, (1, 28, 28)) == "sequential"
    assert Trainer(wide).mode_for(jobs, (1, 8, 8)) == "batched"
    assert Trainer(Odd()).mode_for(jobs, (6,)) == "sequential"
    assert Trainer(Odd(), mode="batched").mode_for(jobs, (6,)) == "batched"


def test_asking_for_side_by_side_where_it_cannot_be_is_an_error():
    model = nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.2))
    with pytest.raises(FedliteError, match=r"dropout draws per client.*expected auto or sequential"):
        Trainer(model, mode="batched").mode_for([], (6,))


def test_tiles_shrink_with_the_activation():
    small = capability_of(Template(nn.Sequential(nn.Linear(6, 3))), (6,))
    image = capability_of(Template(nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.Flatten())), (1, 28, 28))
    assert image.widest == 32 * 28 * 28
    assert tile_clients(small, 10) == 128
    assert tile_clients(image, 10) == 700_000 // 250_880
    assert tile_clients(image, 10_000) == 1
