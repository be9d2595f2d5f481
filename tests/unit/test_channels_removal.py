"""A net without channels computes what the whole one computes with those at zero, and has the right size."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.channels.coupling import coupled
from fedlite.compression.channels.removal import maps_of, without
from fedlite.compression.channels.selection import first, local_counts
from fedlite.compression.overlap import OverlapSum
from fedlite.compression.structure.channels import Channels
from fedlite.learning.models.spec import spec_of
from fedlite.rng import stream

NETS = {
    "mlp": spec_of("mlp", (20,), 5, 1, hidden=(12, 8)),
    "cnn": spec_of("cnn", (1, 8, 8), 10, 1),
    "cnn1d": spec_of("cnn1d", (6, 60), 7, 1),
    "lenet5": spec_of("lenet5", (1, 28, 28), 10, 1),
    **{
        f"{name} {norm}": spec_of(name, shape, 10, 1, norm=norm)
        for name, shape in {
            "resnet8": (3, 16, 16),
            "resnet18": (3, 32, 32),
            "mobilenet-v2": (3, 32, 32),
            "ds-cnn": (1, 49, 10),
        }.items()
        for norm in ("group", "batch")
    },
    "squeezenet1.1": spec_of("squeezenet1.1", (3, 32, 32), 10, 1),
}
_COUPLINGS = {}


def coupling_of(name):
    if name not in _COUPLINGS:
        _COUPLINGS[name] = coupled(NETS[name].build(), NETS[name].input_shape)
    return _COUPLINGS[name]


def drawn(net, seed=0):
    """Any values: scales, biases and running statistics too."""
    dice = stream(seed, "values")
    net = copy.deepcopy(net).double().eval()
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                fan = math.prod(value.shape[1:]) if value.ndim > 1 else 0
                draw = (
                    dice.normal(size=tuple(value.shape)) * math.sqrt(2 / fan)
                    if fan
                    else dice.uniform(0.3, 1.7, value.shape)
                )
                value.copy_(torch.from_numpy(np.asarray(draw)))
    return net


def some_of(coupling, seed=1):
    dice = stream(seed, "keep")
    keep = []
    for group in coupling.groups:
        marks = np.ones(group.units, np.bool_)
        marks[dice.permutation(group.units)[: int(dice.integers(1, group.units))]] = False
        keep.append(marks)
    return keep


def silenced(net, coupling, keep):
    """The whole net in which nothing makes those channels: rows of weights, biases, scales; what reads them is left."""
    net = copy.deepcopy(net)
    state = net.state_dict()
    with torch.no_grad():
        for group, units in zip(coupling.groups, keep, strict=True):
            for (layer, side), channels in group.members.items():
                if side == "out":
                    for kind in ("weight", "bias"):
                        if f"{layer}.{kind}" in state:
                            state[f"{layer}.{kind}"][channels[~units].reshape(-1)] = 0.0
    return net


@pytest.mark.parametrize("name", NETS)
def test_the_smaller_net_computes_what_the_whole_one_does_with_those_channels_at_zero(name):
    net, coupling = drawn(NETS[name].build()), coupling_of(name)
    keep = some_of(coupling)
    small = without(net, coupling, keep)
    x = torch.from_numpy(stream(2, "x").uniform(size=(3, *NETS[name].input_shape)))
    with torch.no_grad():
        whole, wanted, got = (model(x) for model in (net, silenced(net, coupling, keep), small))
    assert (wanted - got).abs().max() <= 1e-12 * max(1.0, float(wanted.abs().max()))
    assert (whole - wanted).abs().max() > 1e-6
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in net.parameters())


def conv(before, after, kernel, *, bias=True):
    return before * after * kernel + after * bias


def half(channels, unit=1):
    return math.floor(channels / unit / 2 + 0.5) * unit


def resnet8_params(unit):
    a, b, c = (half(channels, unit) for channels in (16, 32, 64))
    norms = 2 * (a + 2 * a + 2 * b + 2 * c)
    first = conv(3, a, 9) + conv(a, a, 9) * 2
    rest = sum(conv(x, y, 9) + conv(y, y, 9) + conv(x, y, 1) for x, y in ((a, b), (b, c)))
    return first + rest + norms + conv(c, 10, 1)


def resnet18_params(unit):
    stages = [half(channels, unit) for channels in (64, 128, 256, 512)]
    total, now = conv(3, stages[0], 49, bias=False) + 2 * stages[0], stages[0]
    for index, after in enumerate(stages):
        for block in range(2):
            total += conv(now, after, 9, bias=False) + conv(after, after, 9, bias=False) + 4 * after
            if index and block == 0:
                total += conv(now, after, 1, bias=False) + 2 * after
            now = after
    return total + conv(now, 10, 1)


def mobilenet_params(unit):
    stages = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    now, was = half(32, unit), 32
    total = conv(3, now, 9, bias=False) + 2 * now
    for expansion, full, blocks in stages:
        after = half(full, unit)
        for _ in range(blocks):
            wide = half(was * expansion, unit) if expansion > 1 else now
            total += (conv(now, wide, 1, bias=False) + 2 * wide) * (expansion > 1)
            total += 9 * wide + 2 * wide + conv(wide, after, 1, bias=False) + 2 * after
            now, was = after, full
    last = half(1280, unit)
    return total + conv(now, last, 1, bias=False) + 2 * last + conv(last, 10, 1)


def ds_cnn_params(unit):
    maps = half(64, unit)
    block = 9 * maps + maps + 2 * maps + conv(maps, maps, 1) + 2 * maps
    return conv(1, maps, 40) + 2 * maps + 4 * block + conv(maps, 10, 1)


def squeezenet_params():
    fires = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
    total, now = conv(3, 32, 9), 32
    for squeezed, expanded in fires:
        s, e = half(squeezed), half(expanded)
        total += conv(now, s, 1) + conv(s, e, 1) + conv(s, e, 9)
        now = 2 * e
    return total + conv(now, 10, 1)


CLOSED = {
    "mlp": conv(20, 6, 1) + conv(6, 4, 1) + conv(4, 5, 1),
    "cnn": conv(1, 16, 9) + conv(16, 32, 9) + conv(32 * 4, 64, 1) + conv(64, 10, 1),
    "cnn1d": conv(6, 16, 9) + conv(16, 32, 7) + conv(32, 7, 1),
    "lenet5": conv(1, 3, 25) + conv(3, 8, 25) + conv(8 * 25, 60, 1) + conv(60, 42, 1) + conv(42, 10, 1),
    "squeezenet1.1": squeezenet_params(),
    **{
        f"{name} {norm}": count(unit)
        for name, count in {
            "resnet8": resnet8_params,
            "resnet18": resnet18_params,
            "mobilenet-v2": mobilenet_params,
            "ds-cnn": ds_cnn_params,
        }.items()
        for norm, unit in (("group", 8), ("batch", 1))
    },
}


@pytest.mark.parametrize("name", NETS)
def test_half_of_the_channels_have_the_parameters_of_a_closed_form(name):
    coupling = coupling_of(name)
    small = without(NETS[name].build(), coupling, first(coupling, local_counts(coupling, 0.5, 1)))
    assert sum(parameter.numel() for parameter in small.parameters()) == CLOSED[name]


@pytest.mark.parametrize("name", NETS)
def test_maps_say_where_every_tensor_lies(name):
    net, coupling = drawn(NETS[name].build()), coupling_of(name)
    keep = some_of(coupling)
    small = without(net, coupling, keep).state_dict()
    full = net.state_dict()
    assert list(small) == list(full)
    for key, index in zip(full, maps_of(net, coupling, keep), strict=True):
        np.testing.assert_array_equal(full[key].numpy()[index], small[key].numpy())


def test_layers_say_how_many_channels_they_have():
    net = spec_of("mobilenet-v2", (3, 32, 32), 10, 1).build()
    coupling = coupling_of("mobilenet-v2 group")
    small = without(net, coupling, first(coupling, local_counts(coupling, 0.5, 1)))
    for module in small.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (module.out_channels, module.in_channels // module.groups)
        if isinstance(module, nn.GroupNorm):
            assert module.num_channels == module.weight.numel() == 8 * module.num_groups
        if isinstance(module, nn.Linear):
            assert tuple(module.weight.shape) == (module.out_features, module.in_features)


@pytest.mark.parametrize("name", ["cnn", "resnet8 batch", "mobilenet-v2 group"])
def test_full_share_is_federated_averaging_operation_for_operation(name):
    spec = NETS[name]
    full = [value.numpy() for value in drawn(spec.build()).state_dict().values()]
    weights = (3.0, 5.0, 2.0)
    clients = [[value.numpy() for value in drawn(spec.build(), seed).state_dict().values()] for seed in (1, 2, 3)]
    part, plain = OverlapSum([a.shape for a in full]), OverlapSum([a.shape for a in full])
    for weight, client in zip(weights, clients, strict=True):
        sums = [weight * array.astype(np.float64) for array in client]
        Channels(1.0).place(spec, full).add(part, sums, weight)
        plain.add(sums, weight)
    for one, other in zip(part.finish(full), plain.finish(full), strict=True):
        assert one.tobytes() == other.tobytes()


def test_untouched_coordinates_keep_their_values_and_mixed_widths_meet():
    spec = NETS["cnn"]
    full = [value.numpy() for value in drawn(spec.build()).state_dict().values()]
    total = OverlapSum([array.shape for array in full])
    marks = np.zeros_like(full[0])
    pruned = Channels(0.5).place(spec, full)
    pruned.add(total, [np.full(array.shape, 2.0) for array in pruned.take()], 1.0)
    marks[pruned.maps[0]] = 1
    alone = total.finish(full)[0]
    assert (alone[marks == 1] == 2.0).all()
    assert (alone[marks == 0] == full[0][marks == 0]).all()
    total.add([4.0 * 3 * np.ones(array.shape) for array in full], 3.0)
    both = total.finish(full)[0]
    assert np.allclose(both[marks == 1], (2.0 + 3 * 4.0) / 4)
    assert np.allclose(both[marks == 0], 4.0)


def test_a_device_gets_the_channels_that_matter_most_in_the_model_of_the_round():
    spec = NETS["mlp"]
    full = [value.numpy().copy() for value in spec.build().state_dict().values()]
    loudest = [1, 4, 6, 7, 9, 11]
    full[0][loudest] *= 100.0
    held = Channels(0.5, "l1").place(spec, full).take()
    np.testing.assert_array_equal(held[0], full[0][loudest])
    quiet = [unit for unit in range(12) if unit not in loudest]
    full[0][quiet] *= 1e6
    np.testing.assert_array_equal(Channels(0.5, "l1").place(spec, full).take()[0], full[0][quiet])
