"""Memory: weights, gradients, optimiser state and saved activations, and what pressure does."""

from __future__ import annotations

import pytest
import torch

from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.devices.memory import (
    WALL_AT,
    inference_peak_bytes,
    memory_slowdown,
    moving_bytes,
    slow_slope,
    tensor_bytes,
    training_peak_bytes,
)
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.learning.counting import OpCounter
from fedlite.learning.models import build
from fedlite.learning.tracing import trace

LAYER = Layer("fc", OpClass.LINEAR, 1000, 1100, 1000, 10, 100, 50)
NET = Workload("toy", (10,), (LAYER,), 110)


ZOO = {
    "autoencoder": (640,), "cnn": (1, 28, 28), "cnn1d": (6, 100), "ds-cnn": (1, 49, 10), "lenet5": (1, 28, 28),
    "mlp": (64,), "mobilenet-v1": (3, 32, 32), "mobilenet-v2": (3, 32, 32), "resnet18": (3, 32, 32),
    "resnet8": (3, 32, 32), "squeezenet1.1": (3, 32, 32), "char-lstm": (40,),
    "char-transformer": (40,), "detector": (1, 8, 8),
}  # fmt: skip


@pytest.mark.parametrize("batch", [4, 16])
@pytest.mark.parametrize("name", sorted(ZOO))
def test_predicted_peak_is_within_a_tenth_of_what_torch_holds_at_its_worst(name, batch):
    """Live tensors of a real training step with momentum, operator by operator; the momentum was made before."""
    shape = ZOO[name]
    model = build(name, input_shape=shape, num_classes=10, seed=0).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        model(torch.zeros(batch, *shape)).square().mean().backward()
        optimizer.step()

    step()
    with OpCounter() as counter:
        for parameter in model.parameters():
            parameter.sum()  # the weights are there from the start, also those that a step reads as a transposed view
        step()
    momentum = sum(p.nbytes for p in model.parameters())
    predicted = tensor_bytes(trace(model, shape, name=name), batch, "sgd", 0.9)
    # nets of a few kilobytes may differ by one activation
    assert predicted == pytest.approx(counter.count.peak_bytes + momentum, rel=0.1, abs=20_000)


def test_plain_sgd_holds_weights_gradients_and_saved_activations():
    """At the start of the backward pass: weights, saved activations, the output's gradient, the first gradients."""
    assert tensor_bytes(NET, 8) == 4 * (1100 + 8 * (50 + 100) + 1100)


def test_the_peak_is_at_the_worst_layer_of_the_backward_pass():
    """Late parameters and early activations never stand beside each other in full."""
    first = Layer("conv", OpClass.CONV3X3, 1000, 10, 10, 100, 1000, 1000)
    last = Layer("fc", OpClass.LINEAR, 1000, 5000, 5000, 1000, 10, 500)
    both = tensor_bytes(Workload("toy", (100,), (first, last), 1100), 1)
    assert both == 4 * (5010 + max(1500 + 1010 + 5000, 1000 + 1000 + 5010))


@pytest.mark.parametrize(("optimizer", "momentum", "copies"), [("sgd", 0.9, 1), ("adam", 0.0, 2), ("sgd", 0.0, 0)])
def test_optimiser_state_is_counted_per_parameter(optimizer, momentum, copies):
    assert tensor_bytes(NET, 1, optimizer, momentum) - tensor_bytes(NET, 1) == 4 * copies * 1100


def test_masks_and_fake_quantisation_take_memory_and_save_none():
    for part, copies in ((Magnitude(0.9), 1), (FakeQuant(8), 2)):
        more = tensor_bytes(NET, 1, weight_copies=part.effects.weight_copies)
        assert more - tensor_bytes(NET, 1) == 4 * copies * 1100


def test_the_runtime_is_a_term_of_its_own():
    assert training_peak_bytes(NET, 1, runtime_bytes=0.0).value == tensor_bytes(NET, 1)
    assert training_peak_bytes(NET, 1).value > tensor_bytes(NET, 1) + 66e6


def test_a_training_engine_takes_more_than_the_tensors_and_the_measured_net_lies_in_the_band():
    """MNN suite, MobileNetV2 with batch 16 on a Meizu 16T: 2,764 MB resident."""
    shape = (3, 224, 224)
    peak = training_peak_bytes(
        trace(build("mobilenet-v2", input_shape=shape, num_classes=1000, seed=0), shape, name="m"), 16
    )
    assert peak.low <= 2.764e9 <= peak.high < 6 * peak.low


def test_convolutions_unfold_their_inputs_and_pointwise_ones_do_not():
    wide = Layer("conv", OpClass.CONV3X3, 9 * 8 * 4 * 100, 288, 288, 800, 400, 400, 3, 1, 8, 4)
    flat = Layer("conv", OpClass.CONV1X1, 8 * 4 * 100, 32, 32, 800, 400, 400, 1, 1, 8, 4)
    moving = moving_bytes(Workload("toy", (8, 10, 10), (wide, flat), 800))
    assert moving == pytest.approx(4 * (9 * 8 * 100 + 2 * (800 + 400)))


def test_int8_inference_takes_a_quarter():
    assert inference_peak_bytes(NET, 1, "int8").value * 4 == inference_peak_bytes(NET, 1).value == 4 * (1100 + 110)


def test_a_microcontroller_reads_its_weights_from_flash_and_never_swaps():
    assert inference_peak_bytes(NET, 1, "int8", in_flash=True).value == 110
    assert memory_slowdown(1.0e6, 1e6, swaps=False) == 1.0
    assert memory_slowdown(1.01e6, 1e6, swaps=False) == float("inf")


def test_the_squeezenet_cliff_is_reproduced():
    """5.45 GB wanted, 4.3 GB resident: 2.8 times the affine time (MNN suite, batch 32)."""
    assert memory_slowdown(77.07e6 + 32 * 167.93e6, 4.3e9) == pytest.approx(2.81, abs=0.05)


def test_memory_goes_from_free_over_slow_to_killed():
    assert memory_slowdown(0.9e9, 1e9) == 1.0
    assert memory_slowdown(1.1e9, 1e9) == pytest.approx(1.0 + 0.1 * slow_slope())
    assert memory_slowdown((WALL_AT + 0.01) * 1e9, 1e9) == float("inf")


def test_unknown_optimiser_and_precision_and_empty_batches_are_refused():
    with pytest.raises(UnknownNameError, match="adam"):
        tensor_bytes(NET, 1, "lion")
    with pytest.raises(UnknownNameError, match="int8"):
        inference_peak_bytes(NET, 1, "int3")
    with pytest.raises(FedliteError, match="1 or more"):
        tensor_bytes(NET, 0)
