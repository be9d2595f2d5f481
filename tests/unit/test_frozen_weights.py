"""Frozen weights: what they take of memory, and what of the backward pass they spare, against what torch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.devices.features import ACTIVATIONS, CONV_OTHER, LINEAR, LINEAR_REUSE
from fedlite.devices.memory import inference_peak_bytes, moving_bytes, tensor_bytes, training_peak_bytes
from fedlite.devices.training import per_sample_terms, step_model
from fedlite.learning.counting import OpCounter
from fedlite.learning.models import build
from fedlite.learning.tracing import trace
from fedlite.scenario.profiles import load_profile


def net_of(*frozen):
    """Three linear layers and a convolution before them, those of these numbers not trained."""
    net = nn.Sequential(
        nn.Conv1d(3, 6, 3), nn.Flatten(), nn.Linear(48, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 5)
    )
    for index in frozen:
        net[index].requires_grad_(requires_grad=False)
    return net


def test_a_phone_holds_what_the_backward_pass_needs_and_no_more():
    def moving(*frozen):
        net = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 50), nn.ReLU(), nn.Linear(50, 5))
        for index in frozen:
            net[index].requires_grad_(requires_grad=False)
        return moving_bytes(trace(net, (30,), name="net"))

    whole, last, first = moving(), moving(0, 2), moving(2, 4)
    # Only the last learns: what it reads and writes, for nothing before it is asked for a gradient.
    assert last == pytest.approx(4 * (50 + 5))
    assert whole == pytest.approx(4 * (30 + 40 + 40 + 50 + 50 + 5))
    assert last < first < whole


def traced(net):
    return trace(net, (3, 10), name="net")


def by_name(workload, field):
    return {layer.name: getattr(layer, field) for layer in workload.layers if layer.macs}


@pytest.mark.parametrize(
    ("frozen", "backward"),
    [
        ((), [2, 2, 2, 2]),
        ((0,), [0, 2, 2, 2]),
        ((0, 2), [0, 0, 2, 2]),
        ((2,), [2, 1, 2, 2]),
        ((4, 6), [2, 2, 1, 1]),
        ((0, 4), [0, 2, 1, 2]),
    ],
)
def test_a_frozen_layer_passes_gradients_on_only_where_something_before_it_is_trained(frozen, backward):
    net = net_of(*frozen)
    workload = traced(net)
    names = ["0", "2", "4", "6"]
    assert by_name(workload, "backward") == dict(zip(names, backward, strict=True))
    counts = {name: sum(p.numel() for p in net[int(name)].parameters()) for name in names}
    assert by_name(workload, "frozen") == {name: counts[name] * (int(name) in frozen) for name in names}
    assert by_name(workload, "params") == {name: counts[name] * (int(name) not in frozen) for name in names}
    assert workload.frozen + workload.params == sum(counts.values())


@pytest.mark.parametrize("frozen", [(0,), (0, 2), (2,), (4, 6), (0, 4), (0, 4, 6)])
def test_the_products_of_the_backward_pass_are_those_that_torch_makes(frozen):
    """But for the first trained layer, whose product by its input is priced though nobody asks for it."""
    net = net_of(*frozen)
    workload = traced(net)
    with OpCounter() as counter:
        net(torch.zeros(1, 3, 10)).sum().backward()
    first = next(layer for layer in workload.layers if layer.macs and layer.backward == 2)
    predicted = sum(layer.backward * layer.macs for layer in workload.layers)
    assert sum(counter.count.backward_macs.values()) == predicted - first.macs
    assert sum(counter.count.forward_macs.values()) == workload.macs


def test_constants_outside_of_the_state_are_frozen_weights_and_running_statistics_are_not():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.ones(7, 6), persistent=False)
            self.register_buffer("mask", torch.ones(6, dtype=torch.bool), persistent=False)
            self.head = nn.Linear(7, 2)

        def forward(self, x):
            return self.head(x.masked_fill(self.mask, 0.5) @ self.weight.t())

    workload = trace(Constant(), (6,), name="constant")
    assert (workload.frozen, workload.params) == (42, 16)
    batch_norm = build("resnet8", input_shape=(3, 16, 16), num_classes=5, seed=0, norm="batch")
    assert trace(batch_norm, (3, 16, 16), name="norm").frozen == 0


def test_frozen_weights_that_no_pass_reads_still_lie_in_memory():
    net = net_of(0)
    net.register_module("spare", nn.Linear(4, 4).requires_grad_(requires_grad=False))
    net.forward = lambda x: nn.Sequential.forward(nn.Sequential(*list(net)[:7]), x)
    assert traced(net).frozen == 3 * 6 * 3 + 6 + 20


@pytest.mark.parametrize("batch", [4, 32])
@pytest.mark.parametrize("frozen", [("tokens", "positions", "blocks"), ("blocks.0",), ("classifier", "norm")])
def test_the_peak_is_within_a_tenth_of_what_torch_holds(frozen, batch):
    """Where all blocks are frozen within a fifth: the peak is in the forward pass, where Python's names hold tensors
    after their last use, which the model of a device's engine does not."""
    model = build("char-transformer", input_shape=(24,), num_classes=30, seed=0).train()
    for name in frozen:
        model.get_submodule(name).requires_grad_(requires_grad=False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        model(torch.zeros(batch, 24)).square().mean().backward()
        optimizer.step()

    step()
    with OpCounter() as counter:
        for parameter in model.parameters():
            parameter.sum()  # the weights are there from the start
        step()
    fixed = sum(p.nbytes for p in model.parameters() if not p.requires_grad)
    momentum = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    predicted = tensor_bytes(trace(model, (24,), name="net"), batch, "sgd", 0.9)
    assert predicted == pytest.approx(
        counter.count.peak_bytes + fixed + momentum, rel=0.2 if "blocks" in frozen else 0.1
    )


def test_frozen_weights_take_memory_once_whatever_the_optimiser_keeps():
    trained, half = traced(net_of()), traced(net_of(4))
    frozen = 40 * 30 + 30
    for optimizer, copies in (("sgd", 1), ("adam", 3)):
        rest = [tensor_bytes(each, 1, optimizer) - 4 * copies * each.params for each in (trained, half)]
        # The gradients at the peak belong to the trained ones: the update is the worst moment of both.
        assert rest[0] - rest[1] <= 4 * frozen
        assert tensor_bytes(half, 1, optimizer) > 4 * (frozen + copies * half.params)
    assert inference_peak_bytes(trained).value == inference_peak_bytes(half).value
    assert training_peak_bytes(half, 8).value < training_peak_bytes(trained, 8).value


def test_the_price_of_a_step_leaves_out_the_products_that_are_not_made():
    trained, half, head = (per_sample_terms(traced(net_of(*frozen))) for frozen in ((), (2,), (0, 2)))
    # Of three passes one is spared: by the weights of the layer of 48 x 40.
    spared = 4 * 48 * 40 / 1e6 / LINEAR_REUSE / 3
    assert (trained - half)[LINEAR] == pytest.approx(spared)
    assert (trained - head)[LINEAR] == pytest.approx(2 * spared)
    assert half[ACTIVATIONS] == trained[ACTIVATIONS] > head[ACTIVATIONS]
    assert head[CONV_OTHER] + head[0] < trained[CONV_OTHER] + trained[0]
    assert (head > 0).any()
    assert (trained >= half - 1e-15).all()


def test_a_frozen_layer_is_still_set_up_in_each_step_and_never_free():
    profile = load_profile("pixel-4")
    steps = [step_model(profile, traced(net_of(*frozen))) for frozen in ((), (2,), (0, 2, 4))]
    per_sample = [step.per_sample_s for step in steps]
    assert per_sample == sorted(per_sample, reverse=True)
    assert len(set(per_sample)) == 3
    assert per_sample[2] > per_sample[0] / 3
    assert np.ptp([step.fixed_s for step in steps]) < 0.5 * steps[0].fixed_s
