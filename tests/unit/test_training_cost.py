"""Training steps: affine in the batch, dearer than inference, never cheaper for masks or fake-quant."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.part import Effects, PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.devices.compute import inference_s
from fedlite.devices.fitted import coefficients
from fedlite.devices.profile import DeviceProfile, EngineFamily, Kind, Sourced, Tier
from fedlite.devices.training import step_model, step_s
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.scenario.profiles import load_profile


def known(value):
    return Sourced(value, "test", Kind.DATASHEET, str(value))


def device(engine=EngineFamily.CPU_FP32, core="cortex-a53", clock=1e9, threads=4):
    return DeviceProfile(
        "toy", "Toy", Tier.SBC, "soc", core, engine, threads, threads, known(clock), known(2e9), known(5e8), known(1e9),
        known(1.0), known(4.0), ("wifi",), "board",
    )  # fmt: skip


def net(scale=1):
    layers = (
        Layer("conv", OpClass.CONV3X3, 20_000_000 * scale, 9_000, 9_000, 30_000, 60_000, 60_000, 3, 1, 16, 64),
        Layer("relu", OpClass.ELEMENTWISE, 0, 0, 0, 60_000, 60_000, 60_000),
        Layer("fc", OpClass.LINEAR, 600_000, 600_010, 600_000, 60_000, 10, 60_000),
    )
    return Workload("toy", (3, 32, 32), layers, 120_000)


def test_a_step_is_affine_in_the_batch():
    times = [step_s(device(), net(), batch).value for batch in (1, 2, 3)]
    assert times[2] - times[1] == pytest.approx(times[1] - times[0])
    assert times[0] > times[1] - times[0]  # the fixed part


def test_a_training_sample_costs_several_inferences():
    model = step_model(device(), net())
    forward = inference_s(device(), net(), batch=2).value - inference_s(device(), net(), batch=1).value
    assert 3.0 < model.per_sample_s / forward < 30.0


def test_a_million_jobs_are_priced_as_one_array():
    batches = np.full(1_000_000, 16.0)
    times = step_model(device(), net()).seconds(batches)
    assert times.shape == (1_000_000,)
    assert times[0] == pytest.approx(step_s(device(), net(), 16).value)


def test_masks_and_fake_quantisation_cost_time():
    plain = step_model(device(), net())
    masked = step_model(device(), net(), Magnitude(0.9).effects.step_time)
    rounded = step_model(device(), net(), FakeQuant(8).effects.step_time)
    assert masked.per_sample_s == pytest.approx(plain.per_sample_s / np.sqrt(0.90 * 0.97))
    assert masked.fixed_s == pytest.approx(plain.fixed_s / np.sqrt(0.90 * 0.97))
    assert rounded.per_sample_s == pytest.approx(plain.per_sample_s / np.sqrt(0.45 * 0.53))


def test_width_is_priced_by_the_trace_and_not_twice():
    assert Width(0.5).effects == Effects()


def test_a_slice_is_slower_than_its_share_of_the_multiplications():
    """MACs fall with the square of the width; measured steps do not, and the priced ones neither."""
    spec = spec_of("resnet18", (3, 64, 64), 10, 1)
    full = trace(spec.build(), (3, 64, 64), name="resnet18")
    phone = load_profile("pixel-4")
    whole = step_model(phone, full)
    for width in (0.25, 0.5, 0.75):
        part = trace(Width(width).build(spec), (3, 64, 64), name="resnet18")
        factor = step_model(phone, part).seconds(16.0) / whole.seconds(16.0)
        assert part.macs / full.macs < factor < 1.0


def test_a_plan_multiplies_its_parts():
    both = Plan("both", constraints=(Magnitude(0.9), FakeQuant(8))).effects.step_time
    assert both == pytest.approx(Magnitude(0.9).effects.step_time * FakeQuant(8).effects.step_time)


@pytest.mark.parametrize("width", [0.0, -1.0, 1.5])
def test_impossible_widths_are_refused(width):
    with pytest.raises(PartError, match="at most 1"):
        Width(width)


def test_a_network_without_work_is_refused():
    with pytest.raises(FedliteError, match="without work"):
        step_model(device(), Workload("empty", (1,), (), 0))


def test_a_microcontroller_trains_at_three_forward_passes_in_fp32():
    mcu = device(EngineFamily.MCU_INT8, "cortex-m7", 280e6, 1)
    model = step_model(mcu, net())
    forward = inference_s(mcu, net(), precision="fp32").value
    assert 2.0 < model.per_sample_s / forward < 3.5


def test_training_costs_more_than_its_operations_and_most_where_activations_move():
    """Three times the operations of inference at least; the suite's AlexNet takes 6 to 8, its MobileNetV2 over 40."""
    factors = coefficients("training.json")["backward"]["factors"]
    assert all(3.0 < value < 12.0 for term, value in factors.items() if term != "activations")
    assert factors["activations"] > 30.0


def test_training_does_not_take_the_relative_costs_of_another_inference_engine():
    """A Pixel 3's anchor is TensorFlow Lite's, whose activations cost thrice those of the engine behind the factors."""
    work = trace(spec_of("mobilenet-v2", (3, 224, 224), 10, 1).build(), (3, 224, 224), name="mobilenet-v2")
    pixel_3, pixel_4 = load_profile("pixel-3"), load_profile("pixel-4")
    step = step_model(pixel_3, work).per_sample_s / step_model(pixel_4, work).per_sample_s
    forward = inference_s(pixel_3, work).value / inference_s(pixel_4, work).value
    assert 0.6 < step / forward < 1.6


def test_recurrent_weights_train_dearer_than_linear_ones_and_less_surely():
    def of(op):
        return Workload("toy", (10, 64), (Layer("layer", op, 500_000, 50_000, 50_000, 640, 640, 0, steps=10),), 640)

    phone = load_profile("pixel-4")
    linear, recurrent = step_model(phone, of(OpClass.LINEAR)), step_model(phone, of(OpClass.RECURRENT))
    assert recurrent.per_sample_s > 3.0 * linear.per_sample_s
    assert recurrent.high_factor / recurrent.low_factor > 2.0 * linear.high_factor / linear.low_factor
