"""Networks that tables name: found in any spelling, counted by layers where somebody wrote the layers down."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlite.devices import measurements, published
from fedlite.devices.features import CONV1X1, CONV3X3, DEPTHWISE, GROUPED, layer_terms
from fedlite.devices.workload import Layer, OpClass

DATA = Path(__file__).parents[2] / "benchmarks" / "device_model" / "data"


@pytest.mark.parametrize(
    ("name", "family", "width", "side"),
    [
        ("MobileNetV2 0.35 128 (Keras)", "mobilenetv2", 0.35, 128.0),
        ("mobilenetv2_0_5_s8_v1", "mobilenetv2", 0.5, 0.0),
        ("ESNet_x0_25", "esnet", 0.25, 0.0),
        ("ST MNIST Byclass v1 28x28", "mnistbyclassv1", 1.0, 28.0),
        ("YoloV8 640x640 nano", "yolov8nano", 1.0, 640.0),
        ("ResNet_V2_101", "resnet101v2", 1.0, 0.0),
        ("MobileNetV2 CIFAR-10 transfer", "mobilenetv2", 1.0, 0.0),
    ],
)
def test_a_name_is_read_in_any_spelling(name, family, width, side):
    assert published.identity(name) == (family, width, side)


@pytest.mark.parametrize(
    ("name", "mmac"),
    [
        ("FdMobileNet 0.25 tfs", 11.8),
        ("ST FdMobileNet v1", 24.5),
        ("st_yolo_lc_v1", 61.5),
        ("ResNet v1 32", 69.1),
        ("CNN2D_ST_HandPosture", 0.00774),
    ],
)
def test_small_nets_are_counted_by_the_layers_of_their_reference_code(name, mmac):
    net = published.find(name)
    assert net is not None
    assert net.exact
    assert net.macs == pytest.approx(mmac * 1e6, rel=0.01)


def test_fully_connected_nets_have_the_published_multiply_accumulates():
    rows = [r for r in measurements.read(DATA / "device_measurements_2.csv") if r.model.startswith("FC ")]
    assert len(rows) > 30
    for row in rows:
        assert row.net.exact
        assert row.net.macs == pytest.approx(row.macs_millions * 1e6, rel=0.02), row.model


def convolution(channels, groups, kernel=3):
    return Layer("", OpClass.DEPTHWISE, 1_000_000, 10, 10, 100, 100, 0, kernel, 1, channels, channels, groups)


@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "term"),
    [(64, 64, 3, DEPTHWISE), (128, 32, 3, GROUPED), (256, 2, 3, CONV3X3), (240, 3, 1, CONV1X1)],
)
def test_a_wide_group_is_a_dense_convolution_of_its_own(channels, groups, kernel, term):
    terms = layer_terms(convolution(channels, groups, kernel))
    assert terms[term] == 1.0
    assert terms[[CONV1X1, CONV3X3, DEPTHWISE, GROUPED]].sum() == 1.0


def test_hybrid_nets_are_integer_on_microcontrollers_only():
    rows = [r for r in measurements.read(DATA / "device_measurements_2.csv") if r.precision == "hybrid" and not r.skip]
    assert rows
    assert {row.family for row in rows} == {"mcu-latency"}
    assert {row.arithmetic for row in rows} == {"int8"}
