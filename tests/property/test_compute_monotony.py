"""More work, more samples or a slower anchor never cost less."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlite.devices import batch_curve, cores, covariates, published
from fedlite.devices.calibration import Observation, Work, calibrate
from fedlite.devices.compute import inference_s
from fedlite.devices.features import TERMS
from fedlite.devices.fitted import population
from fedlite.devices.memory import memory_slowdown, tensor_bytes
from fedlite.devices.profile import DeviceProfile, EngineFamily, Kind, Sourced, Tier
from fedlite.devices.training import step_model
from fedlite.devices.workload import Layer, OpClass, Workload

NETS = ("mobilenet", "resnet18", "vgg16", "squeezenet", "alexnet")
OPS = (OpClass.CONV3X3, OpClass.CONV1X1, OpClass.CONV_OTHER, OpClass.DEPTHWISE, OpClass.LINEAR)
sizes = st.integers(1, 10_000_000)
terms = st.lists(st.floats(0.0, 1e4), min_size=len(TERMS), max_size=len(TERMS)).filter(lambda xs: sum(xs) > 0)


def number(value):
    return Sourced(value, "test", Kind.DATASHEET, "")


DEVICE = DeviceProfile(
    "toy", "Toy", Tier.SBC, "soc", "cortex-a53", EngineFamily.CPU_FP32, 4, 4, number(1e9), number(1e9), number(1e9),
    number(1e9), number(1.0), number(2.0), ("wifi",), "board",
)  # fmt: skip


def net(op, macs, weights, activations):
    layer = Layer("l", op, macs, weights, weights, activations, activations, activations, 3, 1, 8, 8, 8)
    return Workload("toy", (8,), (layer,), activations)


@given(st.sampled_from(OPS), sizes, sizes, sizes, sizes)
def test_more_multiplications_never_take_less_time(op, macs, weights, activations, more):
    small = inference_s(DEVICE, net(op, macs, weights, activations)).value
    large = inference_s(DEVICE, net(op, macs + more, weights + more, activations)).value
    assert large >= small > 0.0


@given(st.sampled_from(OPS), sizes, sizes, st.integers(1, 256), st.integers(1, 256))
@settings(max_examples=50)
def test_larger_batches_never_take_less_time_or_memory(op, macs, weights, batch, more):
    workload = net(op, macs, weights, 100)
    model = step_model(DEVICE, workload)
    assert model.seconds(batch + more) >= model.seconds(batch) > 0.0
    assert tensor_bytes(workload, batch + more) > tensor_bytes(workload, batch)
    assert inference_s(DEVICE, workload, batch=batch + more).value >= inference_s(DEVICE, workload, batch=batch).value


@given(terms, st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=4), st.floats(1.01, 100.0))
@settings(max_examples=60)
def test_a_device_slower_at_every_anchor_by_one_factor_is_slower_at_every_net_by_it(work, latencies, factor):
    def device(scale):
        seen = []
        for name, latency in zip(NETS, latencies, strict=False):
            found = published.find(name)
            seen.append(Observation(Work(found.terms, found), latency * scale))
        plain = covariates.of_cpu(cores.read("cortex-a53"), "ncnn", 2023, "fp32", 4)
        return calibrate(population("cpu"), plain, seen, group="ncnn-fp32")

    wanted = Work(np.array(work))
    assert np.isclose(device(factor).latency_s(wanted), factor * device(1.0).latency_s(wanted), rtol=1e-6)


@given(st.floats(1.0, 1e12), st.floats(1.0, 1e12), st.floats(1.0, 1e12))
def test_more_memory_pressure_never_speeds_up(peak, more, budget):
    assert memory_slowdown(peak + more, budget) >= memory_slowdown(peak, budget) >= 1.0


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(1e-3, 1e3)), min_size=1, max_size=5))
def test_batch_curves_are_never_negative_or_falling(points):
    curve = batch_curve.through([b for b, _ in points], [v for _, v in points], 1.0)
    assert curve.fixed >= 0.0
    assert curve.per_sample >= 0.0
