"""Single predictions, as users get them, against single published measurements."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fedlite.devices import recurrent
from fedlite.devices.anchors import informative_order
from fedlite.devices.measurements import read
from fedlite.devices.prediction import predict
from fedlite.learning.models import build
from fedlite.learning.tracing import trace
from fedlite.scenario.profiles import load_profile

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "device_model"
GIGABYTE, MILLISECOND = 1e9, 1e-3


def asked(device, model, shape, *, width=1.0, classes=1000, **what):
    net = build(model, input_shape=shape, num_classes=classes, width=width, seed=0)
    return predict(load_profile(device), trace(net, shape, name=model), **what)


def holds(estimate, measured):
    return estimate.low <= measured <= estimate.high


@pytest.fixture(scope="module")
def suite():
    """The networks of the MNN training suite, as that suite builds them."""
    spec = importlib.util.spec_from_file_location("suite_nets", BENCHMARK / "suite_nets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: trace(net, module.SHAPE, name=name) for name, net in module.nets().items()}


@pytest.fixture(scope="module")
def measured():
    return read(BENCHMARK / "data" / "device_measurements.csv")


def test_a_small_net_on_a_pixel_3_in_float_and_int8():
    """TensorFlow Lite's hosted models: 1.2 and 0.8 ms at width 0.25 and 128 pixels."""
    small = {"shape": (3, 128, 128), "width": 0.25, "classes": 1001}
    floats, integers = (asked("pixel-3", "mobilenet-v1", precision=p, **small).time for p in ("fp32", "int8"))
    assert holds(floats, 1.2 * MILLISECOND)
    assert holds(integers, 0.8 * MILLISECOND)
    assert integers.value < floats.value


def test_application_cores_beside_an_accelerator_are_no_microcontroller():
    """The board's maker gives 179 ms for the int8 net on its A53; float on four of them is some tens to hundreds."""
    cores = asked("coral-dev-board", "mobilenet-v1", (3, 224, 224)).time
    assert 20 * MILLISECOND < cores.value < 500 * MILLISECOND


def test_an_edge_tpu_has_a_floor_per_call():
    net = asked("coral-dev-board", "mobilenet-v1", (3, 224, 224), precision="int8").time
    tiny = asked("coral-dev-board", "mlp", (64,), precision="int8", classes=10).time
    assert holds(net, 2.2 * MILLISECOND)
    assert 0.1 * MILLISECOND < tiny.value < net.value


def test_a_microcontroller_keeps_its_weights_in_flash():
    job = asked("nucleo-l4r5zi", "mobilenet-v1", (3, 96, 96), precision="int8", width=0.25, classes=2)
    weights = 200e3  # one byte each; the visual wake words net has 0.21 million
    assert job.peak.high < weights
    assert job.slowdown == 1.0


def test_a_board_without_latencies_is_not_held_up_by_a_siblings_memory():
    """The Uno Q's A53 run at twice the clock of a Pi Zero 2 W's, whose memory holds them up."""
    board, zero = (asked(name, "mobilenet-v2", (3, 224, 224)).time for name in ("arduino-uno-q", "pi-zero-2w"))
    assert board.value < 0.5 * zero.value
    assert board.high / board.low > zero.high / zero.low


def test_a_training_step_of_mobilenet_v2_on_a_meizu_16t(suite):
    """4,815 ms and 9.58 J at 1.71 GHz (2.9 s if all of it scaled with the clock), 2,764 MB; batch 16."""
    step = predict(load_profile("meizu-16t"), suite["MobileNetV2 (4 classes)"], mode="training", batch=16)
    assert holds(step.time, 4.815)
    assert holds(step.time, 4.815 * 1.7088 / 2.84)
    assert holds(step.energy, 9.58)
    assert holds(step.peak, 2.764 * GIGABYTE)


def test_a_training_step_of_alexnet_takes_one_and_a_half_gigabytes(suite):
    step = predict(load_profile("meizu-16t"), suite["AlexNet"], mode="training", batch=16, momentum=0.9)
    assert holds(step.peak, 1.536 * GIGABYTE)
    assert holds(step.time, 2.269)


def test_four_fifths_of_the_suites_steps_lie_in_the_bands_and_all_memory_below_them(suite, measured):
    phone = load_profile("meizu-16t")
    times, peaks = [], []
    for row in measured:
        if row.model in suite and row.family in ("training-time", "training-memory") and row.batch <= 16:
            step = predict(phone, suite[row.model], mode="training", batch=row.batch, momentum=0.9)
            if row.family == "training-memory":
                peaks.append((row.value, step.peak))
            elif "GHz" not in row.device:
                times.append(holds(step.time, row.value))
    assert len(times) == 10
    assert np.mean(times) >= 0.8
    assert len(peaks) == 30
    assert np.mean([holds(peak, value) for value, peak in peaks]) >= 0.8
    assert all(value <= peak.high for value, peak in peaks)


def test_a_training_step_on_a_microcontroller_is_between_a_tuned_engine_and_plain_kernels():
    """tiny-training, STM32F746: 8.5 s projected with plain kernels, 9.2 times less in its own engine."""
    net = {"width": 0.35, "classes": 2}
    step = asked("disco-f746ng", "mobilenet-v2", (3, 128, 128), mode="training", **net).time
    assert step.value == pytest.approx(8.501 * 373 / 3448, rel=0.25)
    assert holds(step, 8.501)
    assert holds(step, 8.501 * 373 / 3448)


def test_recurrent_nets_train_as_slowly_as_phones_were_seen_to(measured):
    """FLASH's stacked LSTM (two layers of 256, 80 steps, batch 100) on three phones; the fit saw single layers."""
    from torch import nn

    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.read = nn.Embedding(80, 8), nn.LSTM(8, 256, 2, batch_first=True)
            self.say = nn.Linear(256, 80)

        def forward(self, text):
            return self.say(self.read(self.embed(text.long()))[0][:, -1])

    work = trace(Stack(), (80,), name="shakespeare")
    phones = {"Nexus 6": "nexus-6", "Redmi Note 8": "redmi-note-8", "Note10": "galaxy-note10"}
    rows = [row for row in measured if row.model == "shakespeare stacked LSTM"]
    assert len(rows) == 3
    for row in rows:
        (profile,) = [name for phone, name in phones.items() if phone in row.device]
        step = predict(load_profile(profile), work, mode="training", batch=row.batch)
        assert holds(step.time, row.value)


def test_what_the_page_says_of_a_java_engine_on_convolutional_nets(measured):
    """FLASH's two convolutional nets are LEAF's, batch 10, in DL4J on three phones; none of it was in a fit."""
    from torch import nn

    words = [nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU()]
    words += [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3136, 2048), nn.ReLU(), nn.Linear(2048, 62)]
    faces = [
        part
        for channels in (3, 32, 32, 32)
        for part in (nn.Conv2d(channels, 32, 3, padding=1), nn.BatchNorm2d(32), nn.MaxPool2d(2), nn.ReLU())
    ]
    nets = {
        "femnist CNN": trace(nn.Sequential(*words), (1, 28, 28), name="femnist"),
        "celeba CNN": trace(nn.Sequential(*faces, nn.Flatten(), nn.Linear(800, 2)), (3, 84, 84), name="celeba"),
    }
    phones = {"Nexus 6": "nexus-6", "Redmi Note 8": "redmi-note-8", "Note10": "galaxy-note10"}
    rows = [row for row in measured if row.model in nets]
    names = [next(name for phone, name in phones.items() if phone in row.device) for row in rows]
    steps = [
        predict(load_profile(name), nets[row.model], mode="training", batch=row.batch).time
        for row, name in zip(rows, names, strict=True)
    ]
    times = [row.value / step.value for row, step in zip(rows, steps, strict=True)]
    assert (min(times), max(times)) == pytest.approx((0.55, 15.0), rel=0.05)
    assert sum(holds(step, row.value) for row, step in zip(rows, steps, strict=True)) == 3


def test_the_first_lstm_anchor_is_the_row_whose_mixture_is_nearest_to_all_others(measured):
    rows = [row for row in measured if row.device == "Nexus 6" and row.model.startswith("LSTM")]
    terms = np.array([recurrent.named_terms(row.model, row.batch) for row in rows])
    order = informative_order(recurrent.population(), terms, 3)
    assert rows[order[0]].model == "LSTM in=1000 out=500 seq=6"
    assert len(set(order)) == 3
    assert informative_order(recurrent.population(), terms[:2], 3) in ([0, 1], [1, 0])
