"""Integer layers: exact arithmetic, against a slow reference in whole numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.constraint.fake_quant import fake_quantize
from fedlite.delivery.integers import IntegerLayer, IntegerWeights, Packed, affine, quantized
from fedlite.rng import stream


def whole(*shape, most, seed=0):
    """Whole numbers, the largest of which is reached in every row."""
    found = stream(seed, "whole", *shape).integers(-most, most + 1, size=shape)
    found.reshape(shape[0], -1)[:, 0] = most
    return torch.from_numpy(found.astype(np.float32))


def linear(weight, bias=None):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = bias
    return layer


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("count", [1, 3, 8, 33])
def test_packed_integers_take_as_many_bytes_as_their_bits(bits, count):
    levels = 2 ** (bits - 1) - 1
    values = torch.from_numpy(stream(bits, "packed", count).integers(-levels, levels + 1, size=count).astype(np.int8))
    packed = Packed(values, bits)
    assert packed.packed.numel() == math.ceil(bits * count / 8)
    assert torch.equal(packed.whole(), values.float())


def test_weights_are_rounded_to_the_nearest_with_a_scale_for_each_row():
    weight = torch.tensor([[7.0, -3.4, 1.6], [0.0, 0.0, 0.0], [0.5, -0.5, 0.1]])
    numbers, scale = quantized(weight, 4)
    assert numbers.tolist() == [[7, -3, 2], [0, 0, 0], [7, -7, 1]]
    assert scale.tolist() == [1.0, 1.0, pytest.approx(0.5 / 7)]


@pytest.mark.parametrize("shift", [-3, 0, 2])
def test_integer_execution_equals_fake_quantisation_where_scales_are_powers_of_two(shift):
    """Bit for bit: the dequantised forward pass and the sums of whole numbers are the same number."""
    step = 2.0**shift
    weight = whole(5, 16, most=127) * step
    x = torch.from_numpy(stream(1, "x").integers(0, 256, size=(9, 16)).astype(np.float32)) * 0.5
    layer = IntegerLayer(linear(weight), 8, 0.0, 127.5)
    rounded = fake_quantize(weight, 8)
    assert torch.equal(rounded, weight)
    assert torch.equal(layer(x), nn.functional.linear(x, rounded))


def test_an_integer_convolution_equals_sums_of_products_of_whole_numbers():
    layer = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    x = torch.from_numpy(stream(2, "x").normal(size=(2, 3, 7, 7)).astype(np.float32))
    made = IntegerLayer(layer, 8, -2.5, 3.0)
    step = 5.5 / 255
    zero = round(2.5 / step)
    q = np.clip(np.rint(x.numpy() / np.float32(step)) + zero, 0, 255).astype(np.int64) - zero
    q = np.pad(q, ((0, 0), (0, 0), (1, 1), (1, 1)))
    weights, scale = (part.numpy() for part in quantized(layer.weight, 8))
    slow = np.zeros((2, 4, 4, 4))
    for n in range(2):
        for c in range(4):
            for i in range(4):
                for j in range(4):
                    total = int((q[n, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * weights[c].astype(np.int64)).sum())
                    slow[n, c, i, j] = total * np.float64(np.float32(step) * scale[c]) + float(layer.bias[c])
    np.testing.assert_allclose(made(x).detach().numpy(), slow, rtol=1e-6, atol=1e-6)


def test_long_sums_stay_exact():
    """40,000 products of 255 and 127 pass 2^24 by far; in float32 the odd last one would be lost."""
    weight = torch.full((1, 40_000), 127.0)
    x = torch.full((1, 40_000), 255.0)
    x[0, -1] = 1.0
    exact = 127 * (255 * 39_999 + 1)
    assert float(IntegerLayer(linear(weight), 8, 0.0, 255.0)(x)) == np.float32(exact)
    assert IntegerLayer(linear(weight), 8, 0.0, 255.0)._wide


def test_zero_is_exact_in_every_range():
    for low, high in ((-1.0, 2.0), (0.5, 3.0), (-4.0, -1.0), (0.0, 0.0)):
        step, zero = affine(torch.tensor(low), torch.tensor(high))
        assert 0 <= float(zero) <= 255
        assert float(zero) == int(zero)
        assert float(step) > 0


def test_dynamic_ranges_are_those_of_each_sample():
    layer = linear(whole(4, 6, most=127) / 100, torch.arange(4.0))
    x = torch.from_numpy(stream(3, "x").normal(size=(8, 6)).astype(np.float32))
    alone = [IntegerLayer(layer, 8, float(row.min()), float(row.max()))(row[None]) for row in x]
    assert torch.equal(IntegerLayer(layer, 8)(x), torch.cat(alone))
    image = nn.Conv2d(2, 3, 3)
    pictures = torch.from_numpy(stream(4, "x").normal(size=(5, 2, 6, 6)).astype(np.float32))
    alone = [IntegerLayer(image, 8, float(one.min()), float(one.max()))(one[None]) for one in pictures]
    assert torch.equal(IntegerLayer(image, 8)(pictures), torch.cat(alone))
    assert "x_scale" not in IntegerLayer(layer, 8).state_dict()


def test_weights_alone_leave_inputs_as_they_are():
    layer = linear(whole(4, 6, most=7) / 8, torch.arange(4.0))
    x = torch.from_numpy(stream(4, "x").normal(size=(8, 6)).astype(np.float32))
    torch.testing.assert_close(IntegerWeights(layer, 4)(x), layer(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 4])
def test_eight_bits_come_near_and_fewer_less(bits):
    """Signal over noise above 40 dB for 8-bit weights and inputs, above 15 dB for 4-bit weights."""
    layer = nn.Linear(256, 64)
    x = torch.from_numpy(stream(5, "x").normal(size=(128, 256)).astype(np.float32))
    said = layer(x).detach()
    noise = IntegerLayer(layer, bits, float(x.min()), float(x.max()))(x).detach() - said
    ratio = 10 * math.log10((said.square().sum() / noise.square().sum()).item())
    assert ratio > {8: 35.0, 4: 15.0}[bits]
