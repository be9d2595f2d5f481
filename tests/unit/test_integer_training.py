"""Training in 8-bit integers: products of integers, rounding right in the mean, and int8 kept for the backward pass."""

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.layers.integer import (
    INTEGER,
    IntegerConv1d,
    IntegerConv2d,
    IntegerGroupNorm,
    IntegerLinear,
    IntegerMaxPool2d,
    IntegerReLU,
    at_random,
    nearest,
)
from fedlite.compression.part import PartError
from fedlite.compression.structure.integer_training import IntegerTraining
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.learning.training import ClientJob, LocalConfig, Trainer
from fedlite.rng import stream


def values(shape, seed=0, scale=1.0):
    return torch.from_numpy((scale * stream(seed, "values").normal(size=shape)).astype(np.float32))


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_rounding_at_random_is_right_in_the_mean_and_at_most_a_step_away():
    x = values((50,))
    draws = []
    for _ in range(2000):
        integers, scale = at_random(x)
        assert integers.dtype is torch.int8
        draws.append(integers.float() * scale)
    apart = torch.stack(draws) - x
    assert apart.abs().max() <= scale * (1 + 1e-5)
    error = apart.std(dim=0) / len(draws) ** 0.5
    assert (apart.mean(dim=0).abs() <= 4 * error + 1e-6).all()


def kinds():
    return [
        (IntegerLinear(20, 7), (5, 20)),
        (IntegerLinear(20, 7), (5, 3, 20)),
        (IntegerConv2d(4, 6, 3, stride=2, padding=1), (3, 4, 8, 8)),
        (IntegerConv2d(4, 8, 3, groups=2, bias=False), (3, 4, 8, 8)),
        (IntegerConv1d(4, 6, 5, dilation=2), (3, 4, 20)),
    ]


@pytest.mark.parametrize(("layer", "shape"), kinds())
def test_forward_is_the_product_of_integers(layer, shape):
    x = values(shape, 3)
    (q_x, s_x), (q_w, s_w) = nearest(x), nearest(layer.weight)
    if isinstance(layer, nn.Linear):
        total = nn.functional.linear(q_x.long(), q_w.long())
    else:
        convolve = nn.functional.conv1d if isinstance(layer, nn.Conv1d) else nn.functional.conv2d
        names = ("stride", "padding", "dilation", "groups")
        total = convolve(q_x.long(), q_w.long(), **{name: getattr(layer, name) for name in names})
    wanted = total.float() * (s_x * s_w)
    if layer.bias is not None:
        wanted = wanted + layer.bias.reshape(-1, *[1] * (layer.weight.dim() - 2))
    assert torch.equal(layer(x), wanted)


@pytest.mark.parametrize(("layer", "shape"), kinds())
def test_gradients_are_right_in_the_mean(layer, shape):
    """Their mean over many draws is that of the same layer on the rounded operands."""
    x = values(shape, 3).requires_grad_()
    slope = values(tuple(layer(x).shape), 4)
    (q_x, s_x), (q_w, s_w) = nearest(x), nearest(layer.weight)
    exact_x, exact_w = (q_x.float() * s_x).requires_grad_(), (q_w.float() * s_w).requires_grad_()
    out = layer.product(exact_x, exact_w)
    wanted = torch.autograd.grad((out * slope).sum(), [exact_x, exact_w])
    draws = [torch.autograd.grad((layer(x) * slope).sum(), [x, layer.weight]) for _ in range(400)]
    for i, exact in enumerate(wanted):
        found = torch.stack([draw[i] for draw in draws])
        error = found.std(dim=0) / len(draws) ** 0.5
        assert ((found.mean(dim=0) - exact).abs() <= 5 * error + 1e-5).all()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(IntegerReLU(inplace=True), (4, 9)), (IntegerMaxPool2d(2), (2, 3, 8, 8)), (IntegerGroupNorm(2, 4), (3, 4, 5, 5))],
)
def test_other_layers_are_torchs_own_on_the_rounded_input(layer, shape):
    x = values(shape, 1).requires_grad_()
    integers, scale = nearest(x)
    rounded = (integers.float() * scale).detach().requires_grad_()
    base = {IntegerReLU: nn.ReLU(), IntegerMaxPool2d: nn.MaxPool2d(2), IntegerGroupNorm: nn.GroupNorm(2, 4)}
    plain = base[type(layer)](rounded)
    out = layer(x)
    assert torch.equal(out, plain)
    slope = values(tuple(out.shape), 2)
    weights = list(layer.parameters())
    found = torch.autograd.grad((out * slope).sum(), [x, *weights])
    wanted = torch.autograd.grad((plain * slope).sum(), [rounded, *base[type(layer)].parameters()])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("layer", [IntegerLinear(16, 16), IntegerReLU(), IntegerGroupNorm(2, 16)])
def test_what_is_kept_of_an_input_is_int8(layer):
    kept = []

    def keep(tensor):
        kept.append(tensor)
        return tensor

    x = values((4, 16), 1).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    of_input = [tensor for tensor in kept if tensor.shape == x.shape]
    assert [tensor.dtype for tensor in of_input] == [torch.int8]
    assert sum(t.nbytes for t in kept if t.is_floating_point() and not any(t is p for p in layer.parameters())) == 4


@pytest.mark.parametrize(("model", "least"), [("mlp", 2.0), ("cnn", 3.0), ("resnet8", 2.4), ("mobilenet-v2", 4.0)])
def test_the_trace_shows_the_memory_saved_and_no_fewer_multiplications(model, least):
    spec = spec_of(model, (3, 32, 32), 10, 1)
    full, own = (trace(net, spec.input_shape, name=model) for net in (spec.build(), IntegerTraining().build(spec)))
    assert full.saved_elements / own.saved_elements >= least
    assert (own.macs, own.params) == (full.macs, full.params)


def test_training_is_drawn_from_the_job_and_learns():
    spec = spec_of("cnn", (1, 16, 16), 2, 1)
    x, y = values((64, 1, 16, 16), 0).numpy(), np.arange(64) % 2
    x[y == 1, :, :8] += 1.0
    arrays = [value.numpy().copy() for value in spec.build().state_dict().values()]
    trainer = Trainer(IntegerTraining().build(spec))
    config = LocalConfig(epochs=8, batch_size=64, lr=0.05, momentum=0.9)

    def train(seed):
        return trainer.train(arrays, [ClientJob(np.arange(64), seed)], x, y, config)

    first, again, other = train(1), train(1), train(2)
    assert first.mode == "sequential"
    assert all(np.array_equal(a, b) for a, b in zip(first.arrays, again.arrays, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first.arrays, other.arrays, strict=True))
    after = trainer.evaluate([array[0] for array in first.arrays], x, y).metrics
    assert after["accuracy"] > 0.9 > trainer.evaluate(arrays, x, y).metrics["accuracy"]


def test_every_layer_keeps_its_state():
    for plain, own in INTEGER.items():
        assert issubclass(own, plain)
    spec = spec_of("resnet8", (3, 16, 16), 5, 1)
    assert list(IntegerTraining().build(spec).state_dict()) == list(spec.build().state_dict())


def test_what_cannot_be_trained_in_integers_is_named():
    class Spec:
        def build(self, share=1.0):
            return nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"))

    with pytest.raises(PartError, match=r"integer-training: got 0, which pads by 'same', expected a number of zeros"):
        IntegerTraining().build(Spec())
