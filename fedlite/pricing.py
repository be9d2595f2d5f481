"""What local work under a plan costs a device: one function for rounds, `auto`, `compress` and the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.devices import compute, memory, thermal, training
from fedlite.devices.estimate import Calibration, Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.compression.plan import Plan
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.workload import Layer, Workload

Number = float | NDArray[np.float64]

_UPDATE_BYTES: Final = 4.0
"""Of one value of an update (float32)."""


@dataclass(frozen=True)
class Job:
    """The local work of one client, or of n of them with arrays of shape (n,).

    Attributes
    ----------
    samples : float or ndarray
        Samples that go through the net, every epoch counted.
    steps : float or ndarray, optional
        Optimiser steps; None for a job that only evaluates.
    batch : int
        Samples of the largest step, which decides the memory.
    optimizer : str
    momentum : float
    """

    samples: Number
    steps: Number | None = None
    batch: int = 1
    optimizer: str = "sgd"
    momentum: float = 0.0


@dataclass(frozen=True)
class Work:
    """What jobs ask of a device.

    Attributes
    ----------
    time_s : float or ndarray
        On the cold device with all of its job threads.
    low, high : float
        Factors of the band around the time.
    peak : Estimate
        Memory in bytes, with its band.
    calibration : Calibration
        By what the device's time was calibrated.
    """

    time_s: Number
    low: float
    high: float
    peak: Estimate
    calibration: Calibration

    @property
    def time(self) -> Estimate:
        """The time with its band."""
        return Estimate.within(self.time_s, self.low, self.high, self.calibration)

    @property
    def peak_bytes(self) -> float:
        """Peak memory that a device must be prepared for: the upper end of the band."""
        return _prepared_for(self.peak)


def _prepared_for(peak: Estimate) -> float:
    return float(peak.high)


@dataclass(frozen=True)
class Rate:
    """What a device asks for a kind of work, whatever its amount; the band, memory and calibration as in `Work`."""

    per_step_s: float
    per_sample_s: float
    per_job_s: float
    low: float
    high: float
    peak: Estimate
    calibration: Calibration

    @property
    def peak_bytes(self) -> float:
        """As that of `Work`."""
        return _prepared_for(self.peak)


def price(profile: DeviceProfile, plan: Plan, workload: Workload, job: Job) -> Work:
    """Return what jobs under a plan cost on a profile; see `rate`."""
    asked = rate(profile, plan, workload, job)
    steps = 0.0 if job.steps is None else job.steps
    time_s = steps * asked.per_step_s + job.samples * asked.per_sample_s + asked.per_job_s
    return Work(time_s, asked.low, asked.high, asked.peak, asked.calibration)


def rate(profile: DeviceProfile, plan: Plan, workload: Workload, job: Job) -> Rate:
    """Return what a profile asks for jobs of this kind under a plan.

    Parameters
    ----------
    profile : DeviceProfile
    plan : Plan
    workload : Workload
        The trace of the net that the plan's structure builds.
    job : Job
        Its numbers of samples and steps do not matter.

    Raises
    ------
    FedliteError
        If the net has no work to train, or the optimiser is unknown.
    """
    if job.steps is None:
        return _of_evaluation(profile, workload, job)
    effects = plan.effects
    step = training.step_model(profile, workload, effects.step_time)
    peak = memory.training_peak_bytes(
        workload,
        job.batch,
        job.optimizer,
        job.momentum,
        # A microcontroller's runtime is part of its firmware.
        runtime_bytes=0.0 if compute.on_microcontroller(profile) else None,
        weight_copies=effects.weight_copies + effects.weight_copies_per_sample * job.batch,
    )
    moved_bytes = effects.update_passes * _UPDATE_BYTES * workload.params
    per_job_s = float(compute.work_s(profile, {}, moved_bytes).value) if moved_bytes else 0.0
    return Rate(step.fixed_s, step.per_sample_s, per_job_s, step.low_factor, step.high_factor, peak, step.calibration)


def _of_evaluation(profile: DeviceProfile, workload: Workload, job: Job) -> Rate:
    one = compute.inference_s(profile, workload)
    value = float(one.value)
    peak = memory.inference_peak_bytes(workload, job.batch, in_flash=compute.on_microcontroller(profile))
    low, high = float(one.low) / value, float(one.high) / value
    return Rate(0.0, value, 0.0, low, high, peak, one.calibration)


def inference(profile: DeviceProfile, workload: Workload, precision: Mapping[str, str]) -> Estimate:
    """Return the latency of one inference whose layers compute in precisions of their own.

    A net in one precision is priced as a whole. In several, each precision gets the share that its layers have in the
    net's time at that precision, so that what the device model knows of the whole net counts for all.

    Parameters
    ----------
    profile : DeviceProfile
    workload : Workload
        The trace of the net with plain weights.
    precision : mapping
        Name of a module -> its precision; float32 where none is named. What has no weights of its own (activations,
        pooling, additions) goes with the layer before it.

    Raises
    ------
    FedliteError
        If the profile cannot compute in a precision.
    """
    parts = _by_precision(workload, precision)
    if len(parts) == 1:
        return compute.inference_s(profile, workload, precision=next(iter(parts)))
    value = low = high = 0.0
    worst: Calibration | None = None
    for kind, layers in parts.items():
        whole = compute.inference_s(profile, workload, precision=kind)
        mine, rest = (_alone(profile, workload, some, kind) for some in (layers, _others(workload, layers)))
        share = mine / (mine + rest)
        value += share * float(whole.value)
        low += share * float(whole.low)
        high += share * float(whole.high)
        worst = whole.calibration if worst is None else max(worst, whole.calibration, key=list(Calibration).index)
    assert worst is not None  # noqa: S101 (every net has a layer)
    return Estimate(value, low, high, worst)


def inference_memory(profile: DeviceProfile, workload: Workload, precision: Mapping[str, str]) -> Estimate:
    """Return the peak memory of such an inference: weights at the precision of their layer.

    Activations are in that precision too where all layers share it, else in float32, as between layers of two kinds.
    """
    in_flash = compute.on_microcontroller(profile)
    parts = _by_precision(workload, precision)
    if len(parts) == 1:
        return memory.inference_peak_bytes(workload, 1, next(iter(parts)), in_flash=in_flash)
    activations = memory.inference_peak_bytes(workload, 1, in_flash=True)
    weights = {
        kind: memory.inference_peak_bytes(replace(workload, layers=tuple(layers), peak_activation_elements=0), 1, kind)
        for kind, layers in parts.items()
    }
    held = 0.0 if in_flash else sum(float(one.value) for one in weights.values())
    return activations.scaled(1.0 + held / float(activations.value))


def _by_precision(workload: Workload, precision: Mapping[str, str]) -> dict[str, list[Layer]]:
    parts: dict[str, list[Layer]] = {}
    current = "fp32"
    for layer in workload.layers:
        if layer.weights:
            current = precision.get(layer.name.partition("#")[0], "fp32")
        parts.setdefault(current, []).append(layer)
    return parts


def _others(workload: Workload, layers: Sequence[Layer]) -> list[Layer]:
    names = {layer.name for layer in layers}
    return [layer for layer in workload.layers if layer.name not in names]


def _alone(profile: DeviceProfile, workload: Workload, layers: Sequence[Layer], kind: str) -> float:
    # By its layers alone: the known offset of a published net is that of the whole.
    some = replace(workload, model="", layers=tuple(layers))
    return float(compute.inference_s(profile, some, precision=kind).value)


RATES: Final = ("per_step_s", "per_sample_s", "per_job_s", "low", "high", "peak_bytes")
"""The numbers of a `Rate`, in the order in which a `Tariff` gives them."""


class Tariff:
    """What P profiles ask for one kind of work, kept as numbers: each is priced when it is first asked about.

    Parameters
    ----------
    profiles : sequence of P DeviceProfile
    plan, workload, job
        As `rate` takes them.
    """

    def __init__(self, profiles: Sequence[DeviceProfile], plan: Plan, workload: Workload, job: Job) -> None:
        self._profiles = profiles
        self._kind = plan, workload, job
        self._known = np.zeros(len(profiles), dtype=np.bool_)
        self._table = np.zeros((len(RATES), len(profiles)))

    def rates(self, profile_of: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return the `RATES` of n jobs on these profiles, shape (6, n)."""
        for profile in sorted(set(profile_of[~self._known[profile_of]].tolist())):
            asked = rate(self._profiles[profile], *self._kind)
            self._table[:, profile] = [getattr(asked, name) for name in RATES]
            self._known[profile] = True
        found: NDArray[np.float64] = self._table[:, profile_of]
        return found


def on_device_s(
    time_s: Number, peak_bytes: Number, *, ram_bytes: Number, cpu_share: float, onset_s: Number, sustained: Number
) -> Number:
    """Return how long work really takes on a device: swapping beyond its memory, with a share of the cores, in heat.

    Parameters
    ----------
    time_s, peak_bytes : float or ndarray
        Of `Work`.
    ram_bytes : float or ndarray
        What a job may have before it swaps.
    cpu_share : float
        Share of the cores that a job may use, in (0, 1].
    onset_s, sustained : float or ndarray
        After how many seconds the device throttles, and to which share of its speed.
    """
    slow = memory.memory_slowdown(peak_bytes, ram_bytes)
    return thermal.throttled_s(time_s * slow / cpu_share, onset_s, sustained)


def heat_of(profile: DeviceProfile) -> tuple[float, float]:
    """Return onset and sustained share of a profile as `on_device_s` takes them: never, at full speed, without heat."""
    heat = profile.thermal
    return (np.inf, 1.0) if heat is None else (heat.onset_s.value, heat.sustained.value)
