"""The one price of local work, against arithmetic done by hand on a toy net and a toy device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from fedlite.client.stages.base import Stage
from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.part import Effects
from fedlite.compression.plan import Plan
from fedlite.devices.compute import inference_s, work_s
from fedlite.devices.memory import slow_slope, training_peak_bytes
from fedlite.devices.profile import DeviceProfile, EngineFamily, Kind, Sourced, Thermal, Tier
from fedlite.devices.training import step_model
from fedlite.devices.workload import Layer, OpClass, Workload
from fedlite.errors import FedliteError
from fedlite.pricing import Job, heat_of, on_device_s, price

PARAMS = 1_100
NET = Workload("toy", (10,), (Layer("fc", OpClass.LINEAR, 1000, PARAMS, 1000, 10, 100, 50),), 110)


def known(value):
    return Sourced(value, "test", Kind.DATASHEET, str(value))


def device(engine=EngineFamily.CPU_FP32, core="cortex-a53", threads=4):
    return DeviceProfile(
        "toy", "Toy", Tier.SBC, "soc", core, engine, threads, threads, known(1e9), known(2e9), known(5e8), known(1e9),
        known(1.0), known(4.0), ("wifi",), "board",
    )  # fmt: skip


@dataclass(frozen=True)
class TwoPasses(Stage):
    """Reads the update once and writes it once."""

    name: ClassVar[str] = "two-passes"

    @property
    def effects(self) -> Effects:
        return Effects(update_passes=2.0)


def tensors(batch, copies):
    """Weights and copies of them, saved activations and the output's gradient, and the parameters' gradients."""
    return 4 * (copies * PARAMS + max(batch * (50 + 100) + PARAMS, PARAMS))


def test_training_costs_its_steps_and_its_samples():
    step = step_model(device(), NET)
    work = price(device(), Plan(), NET, Job(samples=100.0, steps=7.0, batch=16))
    assert work.time_s == pytest.approx(7 * step.fixed_s + 100 * step.per_sample_s, rel=1e-12)
    assert (work.low, work.high) == (step.low_factor, step.high_factor)
    assert work.time.low == pytest.approx(work.time_s * step.low_factor)
    assert work.time.high == pytest.approx(work.time_s * step.high_factor)
    assert work.calibration == work.time.calibration == step.calibration
    # A device must be prepared for the upper end of the band.
    assert work.peak_bytes == work.peak.high == training_peak_bytes(NET, 16).high > work.peak.value


def test_parts_multiply_the_time_and_add_copies_of_the_weights():
    job = Job(samples=100.0, steps=7.0, batch=16, momentum=0.9)
    plan = Plan("both", constraints=(Magnitude(0.9), FakeQuant(8)))
    plain, dear = price(device(), Plan(), NET, job), price(device(), plan, NET, job)
    factor = (0.90 * 0.97 * 0.53 * 0.45) ** -0.5
    assert dear.time_s == pytest.approx(factor * plain.time_s, rel=1e-12)
    assert plain.peak_bytes == training_peak_bytes(NET, 16, "sgd", 0.9).high
    assert dear.peak.value - plain.peak.value == pytest.approx(4 * PARAMS * (1 + 2))


def test_passes_over_the_update_are_paid_once_per_job_whatever_its_steps():
    plan = Plan("two", stages=(TwoPasses(),))
    extra_s = float(work_s(device(), {}, 2 * 4 * PARAMS).value)
    assert extra_s > 0
    for job in (Job(100.0, 7.0, 16), Job(2000.0, 90.0, 16)):
        plain, more = price(device(), Plan(), NET, job), price(device(), plan, NET, job)
        assert more.time_s - plain.time_s == pytest.approx(extra_s, rel=1e-6)
        assert more.peak_bytes == plain.peak_bytes


def test_many_jobs_are_priced_as_one_array():
    samples, steps = np.array([10.0, 0.0, 300.0]), np.array([2.0, 0.0, 30.0])
    plan = Plan("two", constraints=(Magnitude(0.9),), stages=(TwoPasses(),))
    together = price(device(), plan, NET, Job(samples, steps, 16)).time_s
    alone = [
        price(device(), plan, NET, Job(float(n), float(s), 16)).time_s for n, s in zip(samples, steps, strict=True)
    ]
    assert together.tolist() == pytest.approx(alone, rel=1e-12)


def test_an_evaluation_is_one_inference_per_sample_whatever_the_plan():
    one = inference_s(device(), NET)
    for plan in (Plan(), Plan("dear", constraints=(FakeQuant(8),), stages=(TwoPasses(),))):
        work = price(device(), plan, NET, Job(samples=50.0, batch=16))
        assert work.time_s == pytest.approx(50 * float(one.value), rel=1e-12)
        assert work.time.low == pytest.approx(50 * float(one.low))
        assert work.time.high == pytest.approx(50 * float(one.high))
        assert work.peak.value == 4 * (PARAMS + 16 * 110)
        assert work.calibration == one.calibration


def test_a_microcontroller_has_no_runtime_beside_its_firmware():
    mcu = device(EngineFamily.MCU_INT8, "cortex-m7", 1)
    assert price(mcu, Plan(), NET, Job(10.0, 1.0, 10)).peak.value == tensors(10, 1)


def test_a_net_without_work_and_an_unknown_optimiser_are_refused():
    with pytest.raises(FedliteError, match="without work"):
        price(device(), Plan(), Workload("empty", (1,), (), 0), Job(1.0, 1.0))
    with pytest.raises(FedliteError, match="lion"):
        price(device(), Plan(), NET, Job(1.0, 1.0, optimizer="lion"))


def test_a_share_of_the_cores_swapping_and_heat_stretch_the_time():
    free = {"ram_bytes": 1e9, "cpu_share": 1.0, "onset_s": np.inf, "sustained": 1.0}
    assert on_device_s(100.0, 0.5e9, **free) == 100.0
    assert on_device_s(100.0, 0.5e9, **{**free, "cpu_share": 0.25}) == 400.0
    swapping = 100.0 * (1 + 0.2 * slow_slope())
    assert on_device_s(100.0, 1.2e9, **free) == pytest.approx(swapping)
    hot = {**free, "onset_s": 60.0, "sustained": 0.5}
    assert on_device_s(100.0, 0.5e9, **hot) == 60.0 + 40.0 / 0.5
    # The heat counts the time that the job really takes, with a share and while it swaps.
    assert on_device_s(100.0, 0.5e9, **{**hot, "cpu_share": 0.5}) == 60.0 + 140.0 / 0.5
    assert on_device_s(100.0, 1.2e9, **hot) == pytest.approx(60.0 + (swapping - 60.0) / 0.5)


def test_a_device_without_heat_never_throttles():
    assert heat_of(device()) == (np.inf, 1.0)
    warm = replace(device(), thermal=Thermal(known(60.0), known(0.7)))
    assert heat_of(warm) == (60.0, 0.7)
