"""Binarised layers: what is multiplied, what learns, and that nothing is claimed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.part import PartError
from fedlite.learning.models.layers.binary_residual import BinaryResidual, BinaryResidualLinear
from fedlite.learning.models.spec import ModelSpec, spec_of
from fedlite.learning.tracing import trace
from fedlite.learning.training import ClientJob, LocalConfig, Trainer

TEXT = spec_of("char-transformer", (8,), 11, 3, features=8, heads=2, hidden=12)


def layer_of(out=5, inputs=7):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BinaryResidualLinear(nn.Linear(inputs, out), 2)


def test_weights_have_two_values_a_row_and_the_best_scale():
    layer = layer_of()
    binary, weight = layer.binary().detach().numpy(), layer.weight.detach().numpy()
    np.testing.assert_array_equal(np.sign(binary), np.where(weight < 0, -1.0, 1.0))
    for row, true in zip(binary, weight, strict=True):
        np.testing.assert_allclose(np.abs(row), np.abs(true).mean(), rtol=1e-6)
        errors = [
            ((true - scale * np.sign(row)) ** 2).sum() for scale in np.abs(true).mean() * np.array([0.9, 1.0, 1.1])
        ]
        assert errors[1] == min(errors)


def test_the_gradient_goes_straight_through_and_the_residual_adds():
    layer = layer_of()
    nn.init.normal_(layer.b)
    x = torch.randn(3, 7)
    out = layer(x)
    torch.testing.assert_close(out, x @ (layer.binary() + layer.b @ layer.a).T + layer.bias)
    out.sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum(dim=0).expand(5, 7))


def test_it_learns_alone_and_side_by_side_and_costs_more_than_the_plain_net():
    net = ModelSpec(**{**vars(TEXT), "layers": BinaryResidual(2)}).build()
    arrays = [value.numpy().copy() for value in net.state_dict().values()]
    x = np.random.default_rng(2).integers(0, 11, (60, 8)).astype(np.float32)
    y = (x[:, -1] > 5).astype(np.int64)
    jobs = [ClientJob(np.arange(k, 60, 3), seed=k) for k in range(3)]
    config = LocalConfig(epochs=10, batch_size=10, lr=0.01, optimizer="adam")
    one, many = (
        Trainer(net, mode=mode, objective="next-character").train(arrays, jobs, x, y, config)
        for mode in ("sequential", "batched")
    )
    assert (one.loss < 1.0).all(), "from log 11 = 2.4"
    np.testing.assert_allclose(many.loss, one.loss, rtol=0.02)
    works = [trace(each, (8,), name="net") for each in (TEXT.build(), net)]
    assert works[1].macs > works[0].macs
    assert works[1].params > works[0].params
    assert "classifier.a" not in net.state_dict()


def test_a_net_with_nothing_to_binarise_is_refused():
    with pytest.raises(PartError, match=r"^keep: got classifier, which leaves none of no layers"):
        BinaryResidual().replace(nn.Sequential(nn.ReLU()))
    with pytest.raises(PartError, match=r"^rank: got 0"):
        BinaryResidual(0)
