"""Anchors to devices: the scalar is found exactly, op classes move only as far as anchors can tell."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.devices import published
from fedlite.devices.calibration import Observation, Work, calibrate
from fedlite.devices.cores import covariates
from fedlite.devices.estimate import Calibration
from fedlite.devices.fitted import from_json, population, to_json
from fedlite.errors import FedliteError, UnknownNameError

PLAIN = covariates(1, in_order=False, half_math=False)


def work(name):
    net = published.find(name)
    return Work(net.terms, net.name)


def truth(name, log_scale, shift=0.0):
    fitted = population("cpu-float")
    weights = fitted.expected_log_weights(PLAIN).copy()
    weights[5] += shift
    w = work(name)
    return float(np.exp(log_scale + fitted.offset(w.net, PLAIN, "ncnn-fp32")) * np.exp(weights) @ w.terms)


def device(*names, log_scale=1.3, shift=0.0):
    seen = [Observation(work(name), truth(name, log_scale, shift)) for name in names]
    return calibrate(population("cpu-float"), PLAIN, seen, group="ncnn-fp32")


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
    slow = calibrate(population("cpu-float"), PLAIN, [Observation(work("mobilenet"), 0.2)], group="ncnn-fp32")
    fast = calibrate(population("cpu-float"), PLAIN, [Observation(work("mobilenet"), 0.1)], group="ncnn-fp32")
    assert slow.latency_s(work("vgg16")) == pytest.approx(2.0 * fast.latency_s(work("vgg16")), rel=0.02)


def test_without_anchor_the_spec_sheet_scalar_is_kept():
    found = calibrate(population("cpu-float"), PLAIN, [], prior_log_scale=0.7)
    assert (found.log_scale, found.calibration) == (0.7, Calibration.SPEC_SHEET)


def test_neither_anchor_nor_spec_sheet_is_refused_with_a_remedy():
    with pytest.raises(FedliteError, match="give one of them"):
        calibrate(population("cpu-float"), PLAIN, [])


@pytest.mark.parametrize("latency", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_latencies_are_refused(latency):
    with pytest.raises(FedliteError, match="positive number"):
        calibrate(population("cpu-float"), PLAIN, [Observation(work("mobilenet"), latency)])


def test_bands_narrow_from_spec_sheet_to_one_to_three_anchors():
    for group in ("ncnn-fp32", "ncnn-fp16"):
        widths = [
            np.log(band.high / band.low) for band in (population("cpu-float").band(kind, group) for kind in ORDER)
        ]
        assert widths == sorted(widths)


ORDER = (Calibration.THREE_ANCHORS, Calibration.ONE_ANCHOR, Calibration.ENGINE_FAMILY, Calibration.SPEC_SHEET)


def test_half_precision_cores_carry_a_wider_band_than_fp32_cores():
    fp32, fp16 = (population("cpu-float").band(Calibration.ONE_ANCHOR, g) for g in ("ncnn-fp32", "ncnn-fp16"))
    assert fp16.high / fp16.low > fp32.high / fp32.low


def test_a_population_survives_its_own_file_format():
    fitted = population("mcu")
    again = from_json("mcu", to_json(fitted))
    assert np.array_equal(again.log_weights, fitted.log_weights)
    assert again.bands == fitted.bands


def test_an_unknown_population_is_refused_by_name():
    with pytest.raises(UnknownNameError, match="cpu-float"):
        population("tpu")
