"""Deliveries that look for what can go: by Shapley values, determinants, and what each width costs each layer."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.delivery.base import Artefact, Calibration, replaced
from fedlite.delivery.binarization import Binarization
from fedlite.delivery.connection_pruning import ConnectionPruning
from fedlite.delivery.diverse_neurons import DiverseNeurons
from fedlite.delivery.integers import IntegerWeights
from fedlite.delivery.layer_pruning import LayerPruning
from fedlite.delivery.mixed_precision import MixedPrecision
from fedlite.learning.models import build
from fedlite.rng import stream


def perceptron(*sizes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers[:-1]).eval()


def rows(net, inputs, count=64):
    """Rows, and as the loss how far another net is from this one."""
    x = stream(1, "rows").normal(size=(count, inputs)).astype(np.float32)
    said = net(torch.from_numpy(x)).detach()
    return Calibration(
        x, lambda one: float((one(torch.from_numpy(x)).detach() - said).square().mean()), stream(2, "delivery"), count
    )


def test_the_block_that_adds_least_goes():
    """Two of the three blocks compute nothing, so that the loss hangs on the other alone."""
    net = build("resnet8", input_shape=(3, 16, 16), num_classes=4, seed=0, norm="batch").eval()
    from fedlite.compression.structure.depth import residual_blocks

    names = list(residual_blocks(net))
    asked = []

    def loss(one):
        there = [name for name in names if type(one.get_submodule(name)) is type(net.get_submodule(name))]
        asked.append(there)
        return 1.0 - 0.5 * (names[1] in there) - 0.1 * (names[2] in there)

    given = Calibration(np.zeros((2, 3, 16, 16), np.float32), loss, stream(0, "x"), 10)
    made = LayerPruning(1).deliver(Artefact.of(net), given)
    assert made.facts["left_out"] == [names[0]]
    assert made.facts["shapley_values"] == pytest.approx({names[0]: 0.0, names[1]: 0.5, names[2]: 0.1}, abs=1e-12)
    assert made.forward_samples == 8 * 10
    assert LayerPruning(2).deliver(Artefact.of(net), given).facts["left_out"] == [names[0], names[2]]


def test_connections_of_inputs_that_nobody_reads_are_cut_first():
    net = perceptron(8, 6, 3)
    with torch.no_grad():
        net[0].weight[:, [1, 4, 5]] = 0.0
    given = rows(net, 8)
    made = ConnectionPruning(share=3 / 8, groups=8).deliver(Artefact.of(net), given)
    assert made.facts["cut"] == 3
    assert given.loss(made.net) == pytest.approx(0.0, abs=1e-12)
    zero = (made.net[0].weight == 0).all(dim=0)
    assert torch.flatten(torch.nonzero(zero)).tolist() == [1, 4, 5]


def test_neurons_that_say_the_same_are_fused_without_loss():
    net = perceptron(5, 6, 3)
    with torch.no_grad():
        for copy, first in ((3, 0), (4, 1), (5, 2)):
            net[0].weight[copy], net[0].bias[copy] = net[0].weight[first], net[0].bias[first]
    given = rows(net, 5)
    made = DiverseNeurons(keep=0.5).deliver(Artefact.of(net), given)
    assert (made.facts["neurons"], made.facts["kept"]) == (6, 3)
    assert made.net[0].out_features == made.net[2].in_features == 3
    assert given.loss(made.net) < 1e-9
    assert given.loss(DiverseNeurons(keep=0.5, fused=False).deliver(Artefact.of(net), given).net) > 1e-3


@pytest.mark.parametrize("budget", [0.08, 0.12, 0.2])
def test_bits_are_the_best_choice_of_losses_measured_alone(budget):
    net = perceptron(16, 12, 8, 4)
    given = rows(net, 16)
    made = MixedPrecision(budget).deliver(Artefact.of(net), given)
    names = [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear)]
    sizes = {name: net.get_submodule(name).weight.numel() for name in names}
    alone = {
        (name, bits): given.loss(replaced(net, {name: IntegerWeights(net.get_submodule(name), bits)}))
        for name, bits in product(names, (8, 4, 2))
    }
    allowed = [
        choice
        for choice in product((8, 4, 2), repeat=len(names))
        if sum(math.ceil(b * sizes[n] / 8) for n, b in zip(names, choice, strict=True))
        <= budget * 4 * sum(sizes.values())
    ]
    best = min(sum(alone[n, b] for n, b in zip(names, choice, strict=True)) for choice in allowed)
    chosen = made.facts["bits"]
    assert sum(alone[name, chosen[name]] for name in names) == pytest.approx(best)
    assert tuple(chosen[name] for name in names) in allowed
    assert made.forward_samples == 64 * (1 + 3 * len(names))


def test_signs_take_a_bit_each_and_a_scale_for_each_row():
    net = perceptron(16, 12, 8, 4)
    made = Binarization().deliver(Artefact.of(net), rows(net, 16))
    kinds = {name: value.numel() for name, value in made.net.state_dict().items() if name.startswith("2.")}
    assert kinds == {"2.signs": 12, "2.scales": 8, "2.bias": 8}
    weight = net[2].weight.detach()
    whole = torch.where(weight < 0, -1.0, 1.0) * weight.abs().mean(dim=1, keepdim=True)
    x = torch.from_numpy(stream(3, "x").normal(size=(5, 12)).astype(np.float32))
    torch.testing.assert_close(made.net[2](x), nn.functional.linear(x, whole, net[2].bias))
    assert type(made.net[0]) is type(made.net[4]) is nn.Linear
    ends = Binarization(ends=True).deliver(Artefact.of(net), rows(net, 16))
    assert ends.facts["binary_layers"] == 3
