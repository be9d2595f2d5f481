"""Anchors to devices: the scalar is found exactly, op classes move only as far as anchors can tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedlite.devices import cores, covariates, measurements, published, spec_sheet
from fedlite.devices.calibration import Observation, Work, calibrate
from fedlite.devices.estimate import Calibration
from fedlite.devices.features import LAYERS
from fedlite.devices.fitted import LAYERED, NEW, STAND_IN, from_json, population, to_json
from fedlite.devices.measured_condition import calibrated, condition_of
from fedlite.errors import FedliteError, UnknownNameError

COLLECTION = Path(__file__).parents[2] / "benchmarks" / "device_model" / "data" / "device_measurements.csv"

PLAIN = covariates.of_cpu(cores.read("cortex-a72"), "ncnn", 2023, "fp32", 1)


def work(name):
    net = published.find(name)
    return Work(net.terms, net)


def truth(name, log_scale, shift=0.0):
    fitted = population("cpu")
    weights = fitted.expected_log_weights(PLAIN).copy()
    weights[5] += shift
    w = work(name)
    return float(np.exp(log_scale + fitted.offset(w.net, PLAIN)) * np.exp(weights) @ w.terms)


def device(*names, log_scale=1.3, shift=0.0):
    seen = [Observation(work(name), truth(name, log_scale, shift)) for name in names]
    return calibrate(population("cpu"), PLAIN, seen, group="ncnn-fp32")


def test_one_anchor_of_an_average_device_recovers_its_scalar():
    found = device("mobilenet")
    assert found.log_scale == pytest.approx(1.3, abs=1e-6)
    assert found.calibration is Calibration.ONE_ANCHOR


def test_every_other_net_of_an_average_device_is_then_exact():
    found = device("mobilenet")
    for name in ("vgg16", "alexnet", "squeezenet", "resnet50"):
        assert found.latency_s(work(name)) == pytest.approx(truth(name, 1.3), rel=1e-6)


def test_three_anchors_learn_that_weights_stream_slowly():
    """A device with four times the cost of fully connected layers: an AlexNet anchor brings VGG16 closer."""
    shift = np.log(4.0)
    without = device("mobilenet", shift=shift).latency_s(work("vgg16"))
    anchored = device("mobilenet", "resnet18", "alexnet", shift=shift)
    want = truth("vgg16", 1.3, shift)
    assert anchored.calibration is Calibration.THREE_ANCHORS
    assert abs(np.log(anchored.latency_s(work("vgg16")) / want)) < 0.5 * abs(np.log(without / want))


def test_a_twice_as_slow_anchor_makes_a_twice_as_slow_device():
    slow = calibrate(population("cpu"), PLAIN, [Observation(work("mobilenet"), 0.2)], group="ncnn-fp32")
    fast = calibrate(population("cpu"), PLAIN, [Observation(work("mobilenet"), 0.1)], group="ncnn-fp32")
    assert slow.latency_s(work("vgg16")) == pytest.approx(2.0 * fast.latency_s(work("vgg16")), rel=0.02)


def test_without_anchor_the_spec_sheet_scalar_is_kept():
    found = calibrate(population("cpu"), PLAIN, [], prior_log_scale=0.7)
    assert (found.log_scale, found.calibration) == (0.7, Calibration.SPEC_SHEET)


def test_neither_anchor_nor_spec_sheet_is_refused_with_a_remedy():
    with pytest.raises(FedliteError, match="give one of them"):
        calibrate(population("cpu"), PLAIN, [])


@pytest.mark.parametrize("latency", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_latencies_are_refused(latency):
    with pytest.raises(FedliteError, match="positive number"):
        calibrate(population("cpu"), PLAIN, [Observation(work("mobilenet"), latency)])


ORDER = (("mobilenet", "resnet18", "mobilenet_v3"), ("mobilenet", "resnet18"), ("mobilenet",), ())


def test_anchors_narrow_the_band_of_the_spec_sheet():
    widths = []
    for names in ORDER:
        seen = [Observation(work(name), truth(name, 1.3)) for name in names]
        band = calibrate(population("cpu"), PLAIN, seen, group="ncnn-fp32", prior_log_scale=1.3).band(work("vgg16"))
        widths.append(np.log(band.high / band.low))
    assert max(widths[:3]) < 0.7 * widths[-1]


def test_two_anchors_are_a_class_of_their_own():
    assert device("mobilenet", "resnet18").calibration is Calibration.TWO_ANCHORS


def test_one_odd_anchor_among_four_is_weighed_down():
    names = ("mobilenet", "resnet18", "mobilenet_v3", "squeezenet")
    odd = [Observation(work(name), truth(name, 1.3) * (3.0 if name == "resnet18" else 1.0)) for name in names]
    found = calibrate(population("cpu"), PLAIN, odd, group="ncnn-fp32")
    assert abs(np.log(found.latency_s(work("googlenet")) / truth("googlenet", 1.3))) < np.log(3.0) / 8


def test_a_network_that_nobody_drew_has_a_wider_band_than_a_known_one():
    found = device("mobilenet")
    known, other = published.find("resnet18"), published.identify("some new net", 1.8e9)
    assert found.spread(Work(other.terms, other)) > 1.5 * found.spread(Work(known.terms, known))


def test_stand_ins_and_families_have_bands_of_their_own():
    fitted = population("cpu")
    kind = Calibration.ONE_ANCHOR.value
    layered, stand_in = fitted.band(kind, "ncnn-int8"), fitted.band(kind, "ncnn-int8", STAND_IN)
    assert layered == fitted.bands["ncnn-int8"][kind]
    assert stand_in == fitted.bands[STAND_IN][kind] != layered
    assert fitted.band(kind, "an engine with few devices") == fitted.bands[LAYERED][kind]


def test_a_network_of_the_users_own_has_the_band_of_networks_left_out():
    fitted = population("cpu")
    assert fitted.kind(None) == NEW
    assert fitted.kind(published.find("mobilenet")) == LAYERED
    assert fitted.kind(published.identify("mystery", macs=2e9)) == STAND_IN
    own, known = Work(published.find("vgg16").terms), work("vgg16")
    found = device("mobilenet")
    assert found.band(own).high / found.band(own).low > 1.2 * found.band(known).high / found.band(known).low


def test_a_core_that_the_fit_never_saw_spreads_wider():
    fitted = population("cpu")
    unseen = {**{k: v for k, v in PLAIN.items() if not k.startswith("core:")}, "core:z80": 1.0}
    assert fitted.weight_variance(unseen).sum() > fitted.weight_variance(PLAIN).sum()


def test_a_population_survives_its_own_file_format():
    fitted = population("mcu")
    again = from_json("mcu", to_json(fitted))
    assert np.array_equal(again.log_weights, fitted.log_weights)
    assert again.bands == fitted.bands


def test_the_dispatch_of_integer_layers_is_bounded_by_the_float_path():
    rows = [r for r in measurements.read(COLLECTION) if r.device == "Jetson AGX Orin" and r.family == "ncnn-int8"]
    row = next(r for r in rows if r.net.name == "mobilenet")
    condition, fitted = condition_of(row), population("cpu")
    seen = [Observation(Work(row.net.terms, row.net), row.value)]
    device = calibrated(fitted, condition, seen)
    sheet = {
        name: spec_sheet.log_scale(fitted, condition.clock_hz, known)
        for name, known in (("int8", condition.covariates), ("float", condition.float_path))
    }
    free = calibrate(fitted, condition.covariates, seen, prior_log_scale=sheet["int8"])
    level = sheet["float"] + free.log_scale - sheet["int8"]
    path = calibrate(fitted, condition.float_path, [], prior_log_scale=level)
    assert free.costs[LAYERS] > 1.2 * path.costs[LAYERS]
    assert device.costs[LAYERS] == pytest.approx(path.costs[LAYERS])
    assert device.latency_s(seen[0].work) == pytest.approx(free.latency_s(seen[0].work))


def test_an_unknown_population_is_refused_by_name():
    with pytest.raises(UnknownNameError, match="cpu"):
        population("tpu")
