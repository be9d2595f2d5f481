"""Profiles priced: anchors are met, other settings follow, text about cores is read rightly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.devices import cores, published
from fedlite.devices.calibration import Work
from fedlite.devices.compute import configuration, inference_s, work_s, work_terms
from fedlite.devices.estimate import Calibration
from fedlite.devices.features import CONV1X1, LAYERS, LINEAR, layer_terms
from fedlite.devices.profile import Anchor, DeviceProfile, EngineFamily, Kind, Sourced, Tier
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError, UnknownNameError


def known(value, kind=Kind.MEASURED):
    return Sourced(value, "test", kind, str(value))


def anchor(model, latency_s, precision="fp32", threads=4, kind=Kind.MEASURED):
    return Anchor(model, (3, 224, 224), precision, threads, known(latency_s, kind))


def profile(*anchors, engine=EngineFamily.CPU_FP32, core="cortex-a72", clock=1.8e9, cores_=4, threads=4):
    return DeviceProfile(
        "toy", "Toy", Tier.SBC, "soc", core, engine, cores_, threads, known(clock), known(2e9), known(5e8), known(1e9),
        known(1.0), known(4.0), ("wifi",), "board", anchors=tuple(anchors),
    )  # fmt: skip


def workload(macs=10_000_000, op=OpClass.CONV1X1, model="own"):
    layer = Layer("l", op, macs, 1000, 1000, 5000, 5000, 5000, 1, 1, 10, 100)
    return Workload(model, (3, 8, 8), (layer,), 10_000)


def latency(device, name):
    net = published.find(name)
    return device.latency_s(Work(net.terms, net.name))


def test_the_anchor_itself_is_predicted_as_measured():
    device = configuration(profile(anchor("mobilenet", 0.0795)))
    assert latency(device, "mobilenet") == pytest.approx(0.0795, rel=0.01)
    assert device.calibration is Calibration.ONE_ANCHOR


def test_published_pi_4_latencies_lie_in_the_band_of_its_mobilenet_anchor():
    """Raspberry Pi 4B, ncnn, 4 threads (ncnn benchmark README): anchor MobileNet 31.52 ms, check ResNet-18."""
    rows = {row.model: row.value for row in PI4}
    device = configuration(profile(anchor("mobilenet", rows["mobilenet"])))
    inside = [
        device.band.low <= value / latency(device, name) <= device.band.high
        for name, value in rows.items()
        if name != "mobilenet"
    ]
    assert np.mean(inside) >= 0.6


def pi4_rows():
    from pathlib import Path

    from fedlite.devices.measurements import read

    file = Path(__file__).parents[2] / "benchmarks" / "device_model" / "data" / "device_measurements.csv"
    return [r for r in read(file) if r.device == "Raspberry Pi 4B" and r.family == "ncnn-fp32" and r.threads == "4"]


PI4 = pi4_rows()


def test_twice_the_clock_is_about_half_the_time_on_the_spec_sheet():
    slow, fast = configuration(profile(clock=1e9)), configuration(profile(clock=2e9))
    assert 1.5 < latency(slow, "resnet18") / latency(fast, "resnet18") < 3.0
    assert slow.calibration is Calibration.SPEC_SHEET


def test_more_threads_are_faster_but_not_in_proportion():
    one, four = configuration(profile(), "fp32", 1), configuration(profile(), "fp32", 4)
    assert 1.2 < latency(one, "resnet18") / latency(four, "resnet18") < 4.0


def test_an_anchor_of_other_threads_carries_the_device_over_with_a_wider_band():
    base = profile(anchor("mobilenet", 0.08))
    slow = profile(anchor("mobilenet", 0.16))
    ratio = latency(configuration(slow, "fp32", 1), "resnet18") / latency(configuration(base, "fp32", 1), "resnet18")
    assert ratio == pytest.approx(2.0, rel=0.02)
    assert configuration(base, "fp32", 1).calibration is Calibration.ENGINE_FAMILY


def test_an_assumed_anchor_does_not_claim_the_band_of_a_measured_one():
    device = configuration(profile(anchor("mobilenet", 0.08, kind=Kind.ASSUMED)))
    assert device.calibration is Calibration.ENGINE_FAMILY


def test_batches_of_convolutions_cost_in_proportion_but_dispatch_once():
    layer = workload().layers[0]
    one, eight = layer_terms(layer, 1), layer_terms(layer, 8)
    assert eight[CONV1X1] == 8 * one[CONV1X1]
    assert eight[LAYERS] == one[LAYERS]


def test_fully_connected_weights_are_streamed_once_for_small_batches():
    layer = Layer("fc", OpClass.LINEAR, 1_000_000, 1_000_000, 1_000_000, 1000, 1000, 1000)
    assert layer_terms(layer, 1)[LINEAR] == layer_terms(layer, 4)[LINEAR] == pytest.approx(4.0)
    assert layer_terms(layer, 16)[LINEAR] == pytest.approx(16.0)


def test_activation_functions_are_free_in_inference():
    layer = Layer("relu", OpClass.ELEMENTWISE, 0, 0, 0, 1000, 1000, 1000)
    assert not layer_terms(layer).any()


def test_counted_work_is_priced_like_the_same_work_traced():
    counted = work_s(profile(), {OpClass.CONV1X1: 10_000_000}, bytes_moved=40_000.0)
    traced = inference_s(profile(), workload())
    device = configuration(profile())
    assert counted.value == pytest.approx(traced.value - device.costs[LAYERS])


def test_counted_work_of_a_calibrated_device_still_has_the_engine_family_band():
    estimate = work_s(profile(anchor("mobilenet", 0.08)), {OpClass.LINEAR: 1_000_000})
    assert estimate.calibration is Calibration.ENGINE_FAMILY
    assert estimate.low < estimate.value < estimate.high


def test_linear_work_counts_one_matrix_product():
    assert work_terms({OpClass.LINEAR: 3_000_000}, 0.0)[LINEAR] == pytest.approx(3.0)


def test_an_accelerator_does_not_lend_its_speed_to_the_core_beside_it():
    fast = profile(anchor("resnet8", 0.001, "int8", 1), engine=EngineFamily.NPU_INT8, core="cortex-m0", clock=3e7,
                   cores_=1, threads=1)  # fmt: skip
    plain = replace(fast, anchors=())
    assert configuration(fast, "fp32").log_scale == configuration(plain, "fp32").log_scale
    assert configuration(fast, "int8").log_scale < configuration(plain, "int8").log_scale


@pytest.mark.parametrize("threads", [0, 5])
def test_impossible_threads_are_refused(threads):
    with pytest.raises(FedliteError, match="1 to 4"):
        configuration(profile(), "fp32", threads)


def test_an_unknown_precision_is_refused():
    with pytest.raises(UnknownNameError, match="int8"):
        configuration(profile(), "int4")


def test_an_anchor_on_an_unknown_network_is_refused():
    with pytest.raises(UnknownNameError, match="anchor model"):
        configuration(profile(anchor("no-such-net", 0.1)))


@pytest.mark.parametrize(
    ("text", "in_order", "half", "clock"),
    [
        ("Rockchip RK3399 (Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)", False, False, 1.8e9),
        ("Qualcomm MSM8916 Snapdragon 410 (Cortex-A53 1.2GHz x 4)", True, False, 1.2e9),
        ("Freescale i.MX7 Dual (Cortex A7 1.0GHz x 2)", True, False, 1.0e9),
        ("Broadcom BCM2712, Cortex-A76 (ARMv8) (2.4GHz x 4)", False, True, 2.4e9),
        ("Qualcomm SM8150-AC Snapdragon 855+ (Kyro485 2.96 GHz + 2.42 GHz x 3", False, True, 2.96e9),
        ("Google Pixel 2 (SD835)", False, False, 2.35e9),
        ("cortex-a55", True, True, None),
    ],
)
def test_core_descriptions_are_read(text, in_order, half, clock):
    found = cores.read(text)
    assert (found.in_order, found.half_math, found.clock_hz) == (in_order, half, clock)


def test_work_bound_to_the_little_cores_is_in_order():
    found = cores.read("Rockchip RK3399 (Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)", little=True)
    assert (found.in_order, found.clock_hz) == (True, 1.5e9)
