"""Profiles priced: anchors are met, other settings follow, text about cores is read rightly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlite.devices import cores, mcu_cores, published, runtimes
from fedlite.devices.calibration import Work
from fedlite.devices.compute import configuration, inference_s, on_microcontroller, work_s, work_terms
from fedlite.devices.estimate import Calibration
from fedlite.devices.features import CALLS, CONV1X1, DISPATCH, LAYERS, LINEAR, layer_terms
from fedlite.devices.profile import Anchor, DeviceProfile, EngineFamily, Kind, Sourced, Tier
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError, UnknownNameError
from fedlite.scenario.profiles import load_profile, profile_names


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
    return device.latency_s(Work(net.terms, net))


def band(device, name):
    net = published.find(name)
    return device.band(Work(net.terms, net))


def test_the_anchor_itself_is_predicted_as_measured():
    device, sheet = configuration(profile(anchor("mobilenet", 0.0795))), configuration(profile())
    # An anchor has noise (0.16 in logs, most of it how nets differ between engines), a spec sheet three times as much:
    # the anchor takes nine tenths of the way from the sheet.
    left = np.log(latency(device, "mobilenet") / 0.0795) / np.log(latency(sheet, "mobilenet") / 0.0795)
    assert 0.0 <= left < 0.12
    assert device.calibration is Calibration.ONE_ANCHOR


def test_published_pi_4_latencies_lie_in_the_band_of_its_mobilenet_anchor():
    """Raspberry Pi 4B, ncnn, 4 threads (ncnn benchmark README): anchor MobileNet 31.52 ms, check ResNet-18."""
    rows = {row.model: row.value for row in PI4}
    device = configuration(profile(anchor("mobilenet", rows["mobilenet"])))
    inside = [
        band(device, name).low <= value / latency(device, name) <= band(device, name).high
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
    # Noise takes a tenth of an anchor's surprise, and its op classes, which stay behind, a little.
    assert 0.85 < np.log2(ratio) <= 1.0
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
    assert counted.value == pytest.approx(traced.value - device.costs[LAYERS] - device.costs[CALLS])


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
    with pytest.raises(FedliteError, match="was not measured"):
        configuration(plain, "int8")


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
        ("Google Pixel 2 (SD835)", False, False, 2.45e9),
        ("cortex-a55", True, True, None),
    ],
)
def test_core_descriptions_are_read(text, in_order, half, clock):
    found = cores.read(text)
    assert (found.in_order, found.half_math, found.clock_hz) == (in_order, half, clock)


def test_work_bound_to_the_little_cores_is_in_order():
    found = cores.read("Rockchip RK3399 (Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)", little=True)
    assert (found.in_order, found.clock_hz) == (True, 1.5e9)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("i.MX7 Dual (Cortex-A7 1GHz x2)", "a7"),
        ("x2 Cortex-A53", "a53"),
        ("1xX3 2.91 + 4xA715 2.37 + 4xA510 1.7", "x3"),
        ("Apple A7", "apple7"),
        ("iPhone 14 Pro (A16)", "apple16"),
        ("Qualcomm MSM8998 Snapdragon 835 (Kyro 2.45GHz x 4 + Kyro 1.9GHz x 4", "a73"),
        ("Arm Cortex-M33 32-bit RISC core 96 MHz", ""),
        ("Dragonwing RB3 Gen 2 Vision Kit (QCS6490, 8-core Kryo)", "a78"),
    ],
)
def test_a_core_is_named_by_its_family_or_a_count_and_by_nothing_else(text, kind):
    assert cores.read(text).kind == kind


@pytest.mark.parametrize(
    ("text", "half", "dot"),
    [
        ("Snapdragon 835", False, False), ("Snapdragon 845", True, False), ("Snapdragon 855", True, True),
        ("cortex-a76", True, True), ("cortex-a53", False, False), ("Jetson AGX Xavier", True, False),
        ("Raspberry Pi 5", True, True),
    ],
)  # fmt: skip
def test_chips_are_told_to_have_half_precision_and_dot_products(text, half, dot):
    found = cores.read(text)
    assert (found.half_math, found.dot_math) == (half, dot)


def test_threads_beyond_the_big_cores_count_for_what_little_cores_do():
    speed, slow = cores.read("Rockchip RK3399 (Cortex-A72 1.8GHz x 2 + Cortex-A53 1.5GHz x 4)").spread(6)
    assert 2.0 < speed <= 2.0 + 4 * 1.5 / 1.8 + 1e-9
    assert slow == 0.0 or slow == pytest.approx(4 / 6)
    assert cores.read("Snapdragon 888").spread(8)[1] == pytest.approx(
        7 / 8
    )  # one Cortex-X1, the others at half its width


@pytest.mark.parametrize(
    ("text", "kind", "clock"),
    [
        ("32-bit Arm Cortex-M33 (DSP + FPU) 160 MHz", "m33", 160e6), ("NUCLEO-H7A3ZI-Q", "m7", 280e6),
        ("ESP32-S3 240MHz", "lx7", 240e6), ("STM32F401 (Cortex-M4 84 MHz)", "m4", 84e6), ("cortex-m0plus", "m0", None),
    ],
)  # fmt: skip
def test_microcontrollers_are_read(text, kind, clock):
    found = mcu_cores.read(text)
    assert (found.kind, found.clock_hz) == (kind, clock)


@pytest.mark.parametrize(
    ("text", "engine", "year"),
    [
        ("Tencent/ncnn README", "ncnn", 2023), ("engine ONNX Runtime 1.24.1", "onnxruntime", 2024),
        ("engine TFLite 2.17.0", "xnnpack", 2024), ("tensorflow/lite hosted_models TFLite early 2019", "tflite", 2019),
        ("Paddle-Lite v2.11", "paddle-lite", 2022), ("someone's stopwatch", "framework", 2021),
    ],
)  # fmt: skip
def test_runtimes_and_their_years_are_read(text, engine, year):
    assert runtimes.read(text) == runtimes.Runtime(engine, year)


@pytest.mark.parametrize(
    ("spelling", "name", "mmac"),
    [
        ("MobileNetV1", "mobilenet", 569), ("Mobilenet V1 1.0 224", "mobilenet", 569),
        ("MobileNet_V1_0.25_128", "mobilenet_v1_0.25", 13.6),
        ("MobileNetV2 0.35 128 (Keras)", "mobilenet_v2_0.35", 19.6),
        ("MobileNetV3_large_x0_75", "mobilenet_v3_large_0.75", 140), ("ResNet50_V1 (PyTorch)", "resnet50", 3858),
        ("SqueezeNet v1.0", "squeezenet_v1.0", 819), ("ShuffleNetV2_x0_5", "shufflenet_v2_0.5", 40),
    ],
)  # fmt: skip
def test_networks_are_found_in_any_spelling(spelling, name, mmac):
    net = published.find(spelling)
    assert net.name == name
    assert net.macs == pytest.approx(1e6 * mmac, rel=0.03)


def test_what_a_row_tells_of_its_work_picks_the_variant():
    assert published.identify("Shufflenet-v2", macs=41e6).name == "shufflenet_v2_0.5"
    assert published.identify("Shufflenet-v2", macs=145e6).name == "shufflenet_v2"


def test_a_network_nobody_drew_is_priced_by_what_is_told_of_it():
    told, guessed = published.identify("mystery", macs=2e9), published.identify("mystery", params=5e6, side=224)
    assert told.macs == 2e9
    assert not told.exact
    assert 2e8 < guessed.macs < 2e9


SMALL = [("resnet8", None), ("mobilenet_v1_0.25", 128.0), ("mobilenet_v1_0.25", 224.0), ("mobilenet_v3_small", 224.0)]
SLOW_IN_INT8 = {"jetson-agx-xavier", "jetson-xavier-nx"}
"""Carmel cores: ncnn's tables have every int8 network 1.6 to 2.4 times slower than in half precision there."""


def _on_application_cores(name):
    """Tell whether both precisions run on the same cores: else the float path is another processor's, or none."""
    shipped = load_profile(name)
    return not on_microcontroller(shipped) and shipped.engine is not EngineFamily.NPU_INT8


@pytest.mark.parametrize("name", [n for n in profile_names() if n not in SLOW_IN_INT8 and _on_application_cores(n)])
def test_small_integer_nets_lose_nothing_to_float_ones_and_little_to_half_precision(name):
    """As measured, on most devices (docs/device-model.md, "int8 against fp16")."""
    shipped = load_profile(name)
    in_float, in_int8 = configuration(shipped), configuration(shipped, "int8")
    most = 1.15 if in_float.half_math else 1.05
    for model, side in SMALL:
        net = published.find(model, side)
        assert in_int8.latency_s(Work(net.terms, net)) < most * in_float.latency_s(Work(net.terms, net)), model


def test_integers_are_dispatched_at_no_more_than_the_cost_of_floats():
    for core in ("cortex-a53", "cortex-a73", "cortex-a76", "cortex-x1"):
        own = profile(core=core, engine=EngineFamily.CPU_FP16)
        gain = configuration(own, "int8").costs / configuration(own).costs
        assert (gain[DISPATCH] <= 1.0 + 1e-12).all()
