"""Simulated and real integers are the same numbers, bit for bit."""

import numpy as np
import pytest
import torch

from fedlite.compression.constraint.fake_quant import FakeQuant, fake_quantize, fake_quantize_all
from fedlite.compression.part import PartError
from fedlite.rng import stream


def weights(shape=(17, 9), seed=0, scale=1.0):
    return (scale * stream(seed, "fake").normal(size=shape)).astype(np.float32)


def converted(array, bits):
    """The integers of one tensor and their scale: what a device that delivers integers would store."""
    levels = 2 ** (bits - 1) - 1
    scale = np.float32(np.abs(array).max(initial=np.float32(0)) / np.float32(levels))
    scale = np.float32(1) if scale == 0 else scale
    return np.clip(np.rint(array / scale), -levels, levels).astype(np.int8), scale


def values(array, bits):
    integers, scale = converted(array, bits)
    return integers.astype(np.float32) * scale


def simulated(array, bits):
    return fake_quantize(torch.from_numpy(array), bits).numpy()


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30, 1e-44, 0.0])
def test_simulated_weights_are_the_converted_ones_bit_for_bit(bits, scale):
    array = weights(scale=scale)
    assert simulated(array, bits).tobytes() == values(array, bits).tobytes()


@pytest.mark.parametrize("bits", [8, 4])
def test_a_forward_pass_of_the_simulated_and_of_the_converted_model_agree_exactly(bits):
    layer = torch.nn.Conv2d(3, 5, 3)
    x = torch.from_numpy(weights((2, 3, 8, 8), seed=4))
    kernel, bias = fake_quantize_all(list(layer.parameters()), bits)
    real = torch.from_numpy(values(layer.weight.detach().numpy(), bits))
    assert not torch.equal(real, layer.weight)
    trained = torch.nn.functional.conv2d(x, kernel, bias)
    assert torch.equal(trained, torch.nn.functional.conv2d(x, real, layer.bias))


@pytest.mark.parametrize("bits", [8, 4])
def test_there_are_at_most_two_l_plus_one_values_and_the_error_is_half_a_step(bits):
    array = weights((40, 40))
    levels = 2 ** (bits - 1) - 1
    made, scale = simulated(array, bits), np.abs(array).max() / levels
    assert len(np.unique(made)) <= 2 * levels + 1
    assert np.abs(made / scale).max() <= levels * (1 + 1e-6)
    assert np.abs(made - array).max() <= scale / 2 * (1 + 1e-6)
    assert np.abs(made).max() == pytest.approx(np.abs(array).max(), rel=1e-6)


def test_quantising_what_is_on_the_grid_changes_nothing():
    array = simulated(weights(), 8)
    np.testing.assert_allclose(simulated(array, 8), array, rtol=1e-6)
    exact = (np.arange(-127, 128, dtype=np.float32) * 0.125).reshape(5, 51)
    assert simulated(exact, 8).tobytes() == exact.tobytes()


def test_the_gradient_passes_straight_through():
    weight = torch.from_numpy(weights()).requires_grad_()
    slope = torch.from_numpy(weights(seed=7))
    (fake_quantize(weight, 4) * slope).sum().backward()
    assert torch.equal(weight.grad, slope)


def test_stacked_clients_have_a_scale_each_and_equal_their_own_result():
    stack = torch.from_numpy(np.stack([weights(seed=k, scale=10.0**k) for k in range(4)]))
    together = fake_quantize(stack, 8, stacked=True)
    for k in range(4):
        assert torch.equal(together[k], fake_quantize(stack[k], 8))
    mapped = torch.func.vmap(lambda weight: fake_quantize(weight, 8))(stack)
    assert torch.equal(mapped, together)


def test_gradients_of_stacked_clients_are_those_of_each():
    stack = torch.from_numpy(np.stack([weights(seed=k) for k in range(3)]))

    def loss(weight):
        return (fake_quantize(weight, 4) ** 2).sum()

    mapped = torch.func.vmap(torch.func.grad(loss))(stack)
    for k in range(3):
        assert torch.equal(mapped[k], torch.func.grad(loss)(stack[k]))


def test_biases_norms_and_counters_pass_untouched():
    parameters = [torch.ones(3, 4), torch.full((4,), 0.3), torch.ones(2, dtype=torch.int64)]
    out = fake_quantize_all(parameters, 4)
    assert out[1] is parameters[1]
    assert out[2] is parameters[2]
    stacked = fake_quantize_all([torch.rand(5, 4), torch.rand(5, 3, 4)], 4, stacked=True)
    assert len(torch.unique(stacked[0])) == 20  # five clients' biases


def test_training_on_the_grid_learns():
    """A regression whose best weights lie between grid points ends on the grid, near them."""
    torch.manual_seed(0)
    x = torch.from_numpy(weights((64, 6), seed=2))
    target = x @ torch.linspace(-1, 1, 6)[:, None]
    weight = torch.zeros(6, 1, requires_grad=True)
    first = None
    for _ in range(200):
        loss = ((x @ fake_quantize(weight, 8) - target) ** 2).mean()
        first = loss.item() if first is None else first
        (gradient,) = torch.autograd.grad(loss, weight)
        weight = (weight - 0.1 * gradient).detach().requires_grad_()
    assert loss.item() < 1e-3 < first


@pytest.mark.parametrize("bits", [1, 2, 16])
def test_a_plan_may_ask_for_eight_or_four_bits(bits):
    with pytest.raises(PartError, match=f"bits: got {bits}, expected 8 or 4"):
        FakeQuant(bits)


def test_the_constraint_lets_the_forward_pass_see_the_grid():
    weight, bias = torch.from_numpy(weights()), torch.from_numpy(weights((9,)))
    seen = FakeQuant(4).seen([weight, bias], None, stacked=False)
    assert torch.equal(seen[0], fake_quantize(weight, 4))
    assert seen[1] is bias
    assert FakeQuant(4).changes_forward
