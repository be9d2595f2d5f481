"""Memory: weights, gradients, optimiser state and saved activations, and what pressure does."""

from __future__ import annotations

import pytest

from fedlite.devices.memory import (
    WALL_AT,
    inference_peak_bytes,
    memory_slowdown,
    slow_slope,
    tensor_bytes,
    training_peak_bytes,
)
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError, UnknownNameError

LAYER = Layer("fc", OpClass.LINEAR, 1000, 1100, 1000, 10, 100, 50)
NET = Workload("toy", (10,), (LAYER,), 110)


def test_plain_sgd_holds_weights_gradients_activations_and_input():
    assert tensor_bytes(NET, 8) == 4 * (2 * 1100 + 8 * 50 + 8 * 10)


@pytest.mark.parametrize(("optimizer", "momentum", "copies"), [("sgd", 0.9, 1), ("adam", 0.0, 2), ("sgd", 0.0, 0)])
def test_optimiser_state_is_counted_per_parameter(optimizer, momentum, copies):
    assert tensor_bytes(NET, 1, optimizer, momentum) - tensor_bytes(NET, 1) == 4 * copies * 1100


def test_masks_and_fake_quantisation_take_memory_and_save_none():
    assert tensor_bytes(NET, 1, masked=True) - tensor_bytes(NET, 1) == 4 * 1100
    assert tensor_bytes(NET, 1, bits=8) > tensor_bytes(NET, 1)


def test_the_runtime_is_a_term_of_its_own():
    assert training_peak_bytes(NET, 1, runtime_bytes=0.0).value == tensor_bytes(NET, 1)
    assert training_peak_bytes(NET, 1).value == tensor_bytes(NET, 1) + 66e6


def test_int8_inference_takes_a_quarter():
    assert inference_peak_bytes(NET, 1, "int8").value * 4 == inference_peak_bytes(NET, 1).value == 4 * (1100 + 110)


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
