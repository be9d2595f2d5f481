"""What was trained against rounding is delivered as the very numbers that the forward pass saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlite.compression.constraint.fake_quant import FakeQuant, fake_quantize
from fedlite.delivery.base import Artefact, Calibration, delivered
from fedlite.learning.models.spec import spec_of
from fedlite.rng import stream
from fedlite.techniques import low_precision

X = stream(1, "rows").normal(size=(64, 12)).astype(np.float32)


def net():
    """Layers whose rows differ a hundredfold, so that a scale for each would be another grid."""
    made = spec_of("mlp", (12,), 5, 1, hidden=(32, 16)).build().eval()
    with torch.no_grad():
        for value in made.parameters():
            value.copy_(torch.from_numpy(stream(2, "values").normal(size=tuple(value.shape)).astype(np.float32)))
            if value.ndim > 1:
                value.mul_(torch.logspace(-2, 0, len(value))[:, None])
    return made


def shipped(trained, plan):
    """The tensors that are multiplied with, read back from the file."""
    start = Artefact.of(trained, () if plan.deliveries else plan.effects.stored)
    made = delivered(start, plan.deliveries, Calibration(X, lambda _: 0.0, stream(1, "delivery")))
    for tensor, read in zip(made.net.state_dict().values(), made.read(made.file()), strict=True):
        tensor.copy_(torch.from_numpy(np.array(read)))
    layers = [made.net.get_submodule(name) for name, layer in trained.named_modules() if hasattr(layer, "weight")]
    return [one.weights() if hasattr(one, "weights") else one.weight for one in layers], [one.bias for one in layers]


@pytest.mark.parametrize(
    ("plan", "bits"),
    [
        (low_precision.qat_int8(), 8),
        (low_precision.qat_int4(), 4),
        (low_precision.qat_activations(8, 8), 8),
        (low_precision.qat_activations(4, 8), 4),
        (low_precision.Plan("bits", constraints=(FakeQuant(8),)), 8),
        (low_precision.Plan("bits", constraints=(FakeQuant(4),)), 4),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_weights_and_biases_are_those_of_training(plan, bits):
    trained = net()
    weights, biases = shipped(trained, plan)
    layers = [layer for layer in trained.modules() if hasattr(layer, "weight")]
    assert len(weights) == len(layers) == 3
    for weight, bias, layer in zip(weights, biases, layers, strict=True):
        torch.testing.assert_close(weight, fake_quantize(layer.weight, bits), rtol=1e-6, atol=0)
        assert torch.equal(bias, layer.bias)


def test_without_such_training_rows_have_scales_of_their_own():
    trained = net()
    weights, _ = shipped(trained, low_precision.weight_only(4))
    first = trained.get_submodule(next(name for name, one in trained.named_modules() if hasattr(one, "weight"))).weight
    error, common = ((one - first).abs()[0].max() for one in (weights[0], fake_quantize(first, 4)))
    assert error < 0.1 * common
