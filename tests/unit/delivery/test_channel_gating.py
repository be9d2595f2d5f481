"""Gated channels: what is executed is the net without the others, what it costs, and that inputs decide."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.channels.coupling import coupled
from fedlite.compression.channels.removal import without
from fedlite.compression.channels.selection import first
from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration
from fedlite.delivery.channel_gating import ChannelGating
from fedlite.delivery.gate_training import adapted
from fedlite.delivery.gates import fitted, gateable, gated
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.rng import stream

CNN = spec_of("cnn", (1, 8, 8), 5, 1, channels=(8, 16), hidden=24)


def depthwise():
    return nn.Sequential(
        nn.Conv2d(2, 6, 1),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.PReLU(6),
        nn.Conv2d(6, 4, 1),
        nn.Flatten(),
    )


NETS = {
    "images": CNN,
    "groups": spec_of("resnet8", (3, 8, 8), 5, 1, filters=16),
    "batch": spec_of("resnet8", (3, 8, 8), 5, 1, norm="batch", filters=8),
    "series": spec_of("cnn1d", (3, 32), 4, 1),
    "depthwise": SimpleNamespace(build=depthwise, input_shape=(2, 6, 6)),
}
each_net = pytest.mark.parametrize("spec", list(NETS.values()), ids=list(NETS))


def rows(shape, count=24):
    x = stream(1, "rows").normal(size=(count, *shape)).astype(np.float32)
    return Calibration(x, lambda _: 0.0, stream(1, "delivery"), count, labelled=(x, np.arange(count) % 5))


def with_gates(spec, keep, count=24):
    """A net whose gates were fitted to rows, its groups and the rows."""
    net, x = spec.build().eval(), rows(spec.input_shape, count).x
    coupling = coupled(net, spec.input_shape)
    gates, _ = fitted(net, coupling, keep, 2, x, gateable(net, coupling))
    return net, coupling, gates, x


def answers(net, x):
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x))


@each_net
def test_each_row_is_computed_by_the_net_without_the_channels_that_its_gates_left_out(spec):
    net, coupling, gates, x = with_gates(spec, 0.5, 6)
    assert gates
    made = gated(net, coupling, gates)
    for row in x[:3]:
        said = answers(made, row[None])
        keep = coupling.everything
        for position, gate in gates.items():
            keep[position] = np.isin(np.arange(len(keep[position])), gate.chosen[0])
            assert keep[position].sum() == gate.keep == max(1, round(0.5 * len(keep[position])))
        torch.testing.assert_close(said, answers(without(net, coupling, keep), row[None]), rtol=0, atol=1e-6)


def test_a_batch_is_its_rows_one_by_one_and_they_choose_for_themselves():
    net, coupling, gates, x = with_gates(CNN, 0.5)
    made = gated(net, coupling, gates)
    said = answers(made, x)
    chosen = [{tuple(units.tolist()) for units in gate.chosen} for gate in gates.values()]
    assert all(len(sets) > 3 for sets in chosen)
    torch.testing.assert_close(said, torch.cat([answers(made, row[None]) for row in x]), rtol=0, atol=1e-6)


def test_gates_that_leave_nothing_out_change_nothing():
    net = CNN.build().eval()
    artefact = ChannelGating(keep=1.0).deliver(Artefact.of(net), rows(CNN.input_shape))
    for row in rows(CNN.input_shape).x[:4]:
        assert torch.equal(answers(artefact.net, row[None]), answers(net, row[None]))


def test_what_is_traced_are_the_channels_that_are_computed_and_the_gates():
    net, coupling, gates, _ = with_gates(CNN, 0.5)
    counts = [gates[place].keep if place in gates else group.units for place, group in enumerate(coupling.groups)]
    small = without(net, coupling, first(coupling, counts))
    own = sum(gate.weight.numel() for gate in gates.values())
    made = trace(gated(net, coupling, gates), CNN.input_shape, name="")
    assert made.macs == trace(small, CNN.input_shape, name="").macs + own
    whole = trace(net, CNN.input_shape, name="")
    assert made.macs < 0.5 * whole.macs
    assert made.params == whole.params + own + sum(gate.bias.numel() for gate in gates.values())


def test_a_gate_chooses_what_adds_most_better_than_one_choice_for_all():
    """Two kinds of rows, each of which wakes channels of its own."""
    net, x = CNN.build().eval(), np.zeros((40, 1, 8, 8), np.float32)
    x[:20, :, :4], x[20:, :, 4:] = 1.0, -1.0
    with torch.no_grad():
        weight = net[0].weight
        weight.copy_(weight.abs() * torch.tensor([1.0, -1.0]).repeat(4)[:, None, None, None])
        net[0].bias.zero_()
    coupling = coupled(net, (1, 8, 8))
    position = gateable(net, coupling)[0]
    gates, fixed = fitted(net, coupling, 0.5, 2, x, [position])
    wanted = answers(net, x)
    errors = [float((answers(gated(net, coupling, one), x) - wanted).abs().max()) for one in (gates, fixed)]
    assert errors[0] < 1e-5
    assert errors[1] > 1e-2


def test_training_on_brings_back_what_the_net_said_and_leaves_gates_and_net_alone():
    net, coupling, gates, x = with_gates(CNN, 0.5)
    with torch.no_grad():
        net[-1].weight.mul_(8.0)
    wanted, before = answers(net, x).softmax(1), [gate.weight.clone() for gate in gates.values()]
    trained = adapted(net, coupling, gates, x, 20)
    lost = [float((answers(gated(one, coupling, gates), x).softmax(1) - wanted).abs().sum()) for one in (net, trained)]
    assert lost[1] < 0.5 * lost[0]
    assert all(torch.equal(gate.weight, old) for gate, old in zip(gates.values(), before, strict=True))
    torch.testing.assert_close(answers(net, x).softmax(1), wanted, rtol=0, atol=0)


def test_what_was_done_is_told_and_charged():
    x = rows(CNN.input_shape)
    artefact = ChannelGating(keep=0.25, steps=5, layers=("3",)).deliver(Artefact.of(CNN.build().eval()), x)
    (told,) = artefact.facts["gates"]
    assert (told["layer"], told["computed"], told["of"]) == ("3", 4, 16)
    assert told["for_some_rows_only"] > 0
    said = answers(artefact.net, x.x).argmax(1).numpy()
    assert artefact.facts["held_accuracy"] == float((said == x.labelled[1]).mean())
    assert 0 <= artefact.facts["held_accuracy_of_fixed_channels"] <= 1
    assert artefact.forward_samples == (1 + 1 + 3 * 5) * len(x.x) + x.held


def test_nets_without_such_channels_and_options_out_of_range_are_refused():
    net = spec_of("mlp", (12,), 5, 1, hidden=(8, 6)).build()
    with pytest.raises(PartError, match=r"expected convolutions whose channels no other layer makes too: this net has"):
        ChannelGating().deliver(Artefact.of(net), rows((12,)))
    with pytest.raises(PartError, match=r"channel-gating: got '7', expected convolutions .*: 0, 3; name one"):
        ChannelGating(layers=("7",)).deliver(Artefact.of(CNN.build()), rows(CNN.input_shape))
    for options, said in (({"keep": 0.0}, "keep: got"), ({"cells": 0}, "cells: got"), ({"steps": -1}, "steps: got")):
        with pytest.raises(PartError, match=said):
            ChannelGating(**options)
