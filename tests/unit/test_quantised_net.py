"""A net on integer grids computes what integers would, and its gradients pass straight through."""

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.constraint.fake_quant import fake_quantize, grid_of
from fedlite.compression.layers.integer import IntegerLinear
from fedlite.compression.layers.rounded import Grids, RoundedConv2d, RoundedLinear
from fedlite.compression.part import PartError
from fedlite.compression.structure.quantised_net import QuantisedNet
from fedlite.learning.models.spec import spec_of
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.rng import stream


def values(shape, seed=0, scale=1.0):
    return torch.from_numpy((scale * stream(seed, "values").normal(size=shape)).astype(np.float32))


def integers(array, bits, *, by_sample=False):
    """The integers of a tensor and the exponent of their scale, the least power of two that clips nothing."""
    levels = 2 ** (bits - 1) - 1
    axes = tuple(range(1 if by_sample else 0, array.ndim))
    largest = np.abs(array).max(axis=axes, keepdims=by_sample).astype(np.float64)
    exponent = np.ceil(np.log2(largest / levels))
    return np.rint(array.astype(np.float64) / 2.0**exponent).astype(np.int64), exponent


def filled(layer, seed):
    with torch.no_grad():
        layer.weight.copy_(values(layer.weight.shape, seed, 0.3))
        layer.bias.copy_(values(layer.bias.shape, seed + 1))
    return layer


@pytest.mark.parametrize(("bits", "inputs"), [(8, 8), (4, 8), (8, 5), (2, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_a_linear_layer_is_its_integer_arithmetic_bit_for_bit(bits, inputs, seed):
    layer = filled(RoundedLinear(200, 30), seed)
    layer.grids = Grids(bits, inputs, powers=True)
    x = values((16, 200), 9 + seed, 2.0)
    q_x, e_x = integers(x.numpy(), inputs, by_sample=True)
    q_w, e_w = integers(layer.weight.detach().numpy(), bits)
    q_b = np.rint(layer.bias.detach().numpy().astype(np.float64) / 2.0 ** (e_x + e_w)).astype(np.int64)
    total = q_x @ q_w.T + q_b
    assert np.abs(total).max() < 2**24
    assert np.array_equal(layer(x).detach().numpy(), (total * 2.0 ** (e_x + e_w)).astype(np.float32))


@pytest.mark.parametrize("settings", [{}, {"stride": 2, "padding": 1}, {"groups": 4}, {"dilation": 2}])
def test_a_convolution_is_its_integer_arithmetic_bit_for_bit(settings):
    layer = filled(RoundedConv2d(8, 12, 3, **settings), 1)
    layer.grids = Grids(8, 8, powers=True)
    x = values((4, 8, 9, 9), 3)
    q_x, e_x = integers(x.numpy(), 8, by_sample=True)
    q_w, e_w = integers(layer.weight.detach().numpy(), 8)
    bias = layer.bias.detach().numpy().astype(np.float64).reshape(-1, 1, 1)
    q_b = np.rint(bias / 2.0 ** (e_x + e_w)).astype(np.int64)
    # torch convolves 64-bit integers exactly.
    total = nn.functional.conv2d(*(torch.from_numpy(q) for q in (q_x, q_w)), **settings).numpy() + q_b
    assert np.array_equal(layer(x).detach().numpy(), (total * 2.0 ** (e_x + e_w)).astype(np.float32))


def test_with_scales_of_any_size_it_is_integer_arithmetic_up_to_rounding():
    layer, x = filled(RoundedLinear(200, 30), 0), values((16, 200), 9)
    (q_x, s_x), (q_w, s_w) = grid_of(x, 8, stacked=True), grid_of(layer.weight, 8)
    total = q_x.double() @ q_w.double().T * (s_x.double() * s_w.double())
    grid = (s_x * s_w).double()
    wanted = total + (layer.bias.detach().double() / grid).round() * grid
    np.testing.assert_allclose(layer(x).detach(), wanted.detach(), atol=2e-5)


@pytest.mark.parametrize("kind", [RoundedLinear, IntegerLinear])
def test_what_a_sample_gives_does_not_depend_on_the_others(kind):
    layer = filled(kind(200, 30), 0).eval()
    x = values((16, 200), 9)
    x[1:] *= 50
    torch.testing.assert_close(layer(x)[:1], layer(x[:1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-20, 0.3, 0.5, 1.0, 127.0, 1e20])
def test_a_power_of_two_is_the_least_that_clips_nothing(scale):
    grid, power = grid_of(torch.tensor([scale, -scale / 3]), 8, powers=True)
    part, _ = np.frexp(float(power))
    assert part == 0.5
    assert 63 < grid.abs().max() <= 127
    assert float(grid_of(torch.tensor([127 * 0.25]), 8, powers=True)[1]) == 0.25


def test_gradients_pass_straight_through():
    layer, x = filled(RoundedLinear(6, 4), 0), values((5, 6), 2).requires_grad_()
    slope = values((5, 4), 3)
    (layer(x) * slope).sum().backward()
    np.testing.assert_allclose(x.grad, slope @ fake_quantize(layer.weight, 8).detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        layer.weight.grad, slope.T @ fake_quantize(x, 8, stacked=True).detach(), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(layer.bias.grad, slope.sum(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["cnn", "resnet8"])
def test_a_net_has_the_full_nets_state_and_learns(model):
    spec = spec_of(model, (1, 16, 16), 2, 1)
    net, full = QuantisedNet().build(spec), spec.build()
    assert list(net.state_dict()) == list(full.state_dict())
    x, y = values((64, 1, 16, 16), 0).numpy(), np.arange(64) % 2
    x[y == 1, :, :8] += 1.0
    arrays = [value.numpy().copy() for value in full.state_dict().values()]
    config = LocalConfig(epochs=8, batch_size=16, lr=0.05, momentum=0.9)
    trainer = Trainer(net)
    result = trainer.train(arrays, [ClientJob(np.arange(64), 1)], x, y, config)
    after = trainer.evaluate([array[0] for array in result.arrays], x, y).metrics
    assert after["accuracy"] > 0.9 > trainer.evaluate(arrays, x, y).metrics["accuracy"]


def test_side_by_side_every_client_has_grids_of_its_own():
    spec = spec_of("mlp", (12,), 3, 1, hidden=(8,))
    x, y = values((40, 12)).numpy(), np.arange(40) % 3
    x[20:] *= 100
    arrays = [value.numpy().copy() for value in spec.build().state_dict().values()]
    jobs = [ClientJob(np.arange(20), 1), ClientJob(np.arange(20, 40), 2)]
    one, many = (
        Trainer(QuantisedNet().build(spec), mode=mode).train(arrays, jobs, x, y, LocalConfig(batch_size=20, lr=0.01))
        for mode in ("sequential", "batched")
    )
    assert many.mode == "batched"
    for a, b in zip(one.arrays, many.arrays, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "shape", "named"),
    [("char-lstm", (6,), "embedding.weight, lstm.weight_ih_l0"), ("char-transformer", (6,), "tokens")],
)
def test_a_net_with_weights_that_nothing_rounds_is_refused(model, shape, named):
    with pytest.raises(PartError, match=f"quantised-net: got a net with {named}.* use the constraint fake-quant"):
        QuantisedNet().build(spec_of(model, shape, 9, 1))


def test_a_net_without_such_layers_says_what_it_has():
    class Spec:
        def build(self, share=1.0):
            return nn.Sequential(nn.ReLU(), nn.GroupNorm(1, 4))

    with pytest.raises(PartError, match=r"got a net of GroupNorm, ReLU, Sequential, expected a linear or conv"):
        QuantisedNet().build(Spec())


def test_options_are_checked():
    with pytest.raises(PartError, match=r"activations: got 1, expected 2 to 8"):
        QuantisedNet(activations=1)
    assert QuantisedNet().effects.inference == "int8"
    assert QuantisedNet(4).effects.inference == "fp32"
