"""Shipped nets in the operators of converters compute what the artefacts compute, with the artefacts' integers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.delivery.base import Artefact, Calibration
from fedlite.delivery.binarization import Binarization
from fedlite.delivery.clustering import Clustering
from fedlite.delivery.dynamic_quantization import DynamicQuantization
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.weight_quantization import WeightQuantization
from fedlite.export.rounded_outputs import rounded
from fedlite.export.standard import operators, standard
from fedlite.learning.models.seeding import seeded
from fedlite.rng import stream

DELIVERIES = {
    "static": (StaticQuantization(), {"int8": 4}, {"int8": 4}),
    "kept": (StaticQuantization(keep=("9",)), {"int8": 3, "fp32": 1}, {"int8": 3, "fp32": 1}),
    "int4 weights": (WeightQuantization(4), {"integer weights": 4}, {"fp32": 4}),
    "clustering": (Clustering(), {"fp32": 4}, {"fp32": 4}),
    "signs": (Binarization(), {"fp32": 4}, {"fp32": 4}),
}


@pytest.mark.parametrize("integer_weights", [True, False])
@pytest.mark.parametrize("name", DELIVERIES)
def test_the_net_computes_what_the_artefact_computes(shipped, ware, name, integer_weights):
    delivery, packed, plain = DELIVERIES[name]
    net, counted = shipped(delivery).artefact.net.eval(), Counter()
    found = standard(net, counted, integer_weights=integer_weights)
    assert dict(counted) == (packed if integer_weights else plain)
    x = torch.from_numpy(ware.data.x_test)
    with torch.inference_mode():
        torch.testing.assert_close(found(x), net(x), rtol=1e-5, atol=1e-6)


def test_integers_are_those_of_the_artefact(shipped):
    net = shipped(StaticQuantization()).artefact.net
    found = standard(net, Counter(), integer_weights=True)
    for name in ("0", "3", "7", "9"):
        stored = found.get_submodule(name).get_buffer("weight")
        assert stored.dtype == torch.int8
        assert torch.equal(stored.float(), net.get_submodule(name).weight.whole())


def test_layers_that_look_for_their_ranges_keep_float_inputs(shipped, ware):
    net, counted = shipped(DynamicQuantization()).artefact.net.eval(), Counter()
    found = standard(net, counted, integer_weights=True)
    assert counted == {"fp32": 2, "integer weights": 2}
    x = torch.from_numpy(ware.data.x_test)
    with torch.inference_mode():
        difference, size = (found(x) - net(x)).abs().max(), net(x).abs().max()
    assert 0 < difference < 0.02 * size


def test_a_recurrent_layer_has_the_matrices_that_its_integers_stand_for():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = nn.LSTM(5, 7, batch_first=True), nn.Linear(7, 3)

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

    with seeded(1, "lstm"):
        net = Last()
    x = stream(1, "x").normal(size=(6, 4, 5)).astype(np.float32)
    made = DynamicQuantization(keep=("head",)).deliver(Artefact.of(net), Calibration(x, None, None)).net.eval()
    found = standard(made, Counter(), integer_weights=True)
    assert type(found.lstm) is nn.LSTM
    with torch.inference_mode():
        assert torch.equal(found(torch.from_numpy(x)), made(torch.from_numpy(x)))
        assert not torch.equal(found(torch.from_numpy(x)), net(torch.from_numpy(x)))


@pytest.fixture(scope="module")
def with_rounded_outputs(ware, shipped):
    net = standard(shipped(StaticQuantization()).artefact.net, Counter(), integer_weights=True)
    rows = ware.data.x_train[:40]
    return net, *rounded(torch.export.export(net, (torch.from_numpy(rows[:1]),)), rows), rows


def test_outputs_take_the_levels_of_the_quantiser_behind_them(with_rounded_outputs):
    """Of four layers only the last has none; the others lose nothing, and the last no more than half a step."""
    net, program, measured, rows = with_rounded_outputs
    assert measured == 1
    module, ops = program.module(), operators()
    quantisers = [node for node in module.graph.nodes if node.target is ops.quantize_per_tensor.default]
    step = quantisers[-1].args[1]
    for row in torch.from_numpy(rows):
        with torch.no_grad():
            assert (module(row[None]) - net(row[None])).abs().max() <= 0.51 * step
    # One before each layer, one behind each pooling's layer, one at the end: the rectifier of the third has its own.
    assert len(quantisers) == 4 + 2 + 1
    before_pooling = [node for node in quantisers if node.args[0].target is torch.ops.aten.relu.default]
    assert [node.args[1:] for node in before_pooling[:2]] == [quantisers[2].args[1:], quantisers[4].args[1:]]


def test_a_program_without_integers_stays_as_it_is(ware):
    program = torch.export.export(ware.spec.build().eval(), (torch.from_numpy(ware.data.x_train[:1]),))
    assert rounded(program, ware.data.x_train) == (program, 0)
