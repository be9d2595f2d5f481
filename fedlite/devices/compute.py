"""How long a device computes: a profile made into a calibrated configuration, and work priced on it.

The profile's anchors calibrate the configuration they were measured on, in the runtime they were measured with. Another
precision or thread count of the same device keeps the anchor's surprise (measured against spec sheet) and takes the
rest from the population; a device without anchors is estimated from its cores, threads and clock. Each of these steps
has its own, wider error band.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices import cores, covariates, mcu_cores, published, runtimes, spec_sheet
from fedlite.devices.calibration import Calibrated, Observation, Work, calibrate, dispatching_like
from fedlite.devices.estimate import Calibration, Estimate, Number
from fedlite.devices.features import (
    ACTIVATIONS,
    CONV1X1,
    CONV3X3,
    CONV_OTHER,
    DEPTHWISE,
    FP32_BYTES,
    LINEAR,
    LINEAR_REUSE,
    MILLION,
    TERMS,
    workload_terms,
)
from fedlite.devices.fitted import population
from fedlite.devices.profile import Anchor, DeviceProfile, EngineFamily, Kind
from fedlite.devices.runtimes import Runtime
from fedlite.devices.workload import OpClass, Workload
from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fedlite.devices.published import Net

PRECISIONS = ("fp32", "int8")
_ON_MCU = (EngineFamily.MCU_INT8, EngineFamily.NPU_INT8)
_USUAL_RUNTIME = {False: Runtime("ncnn", 2023), True: Runtime("tflm", 2021)}
"""Runtime of a profile whose anchors do not tell one, on application cores and on microcontrollers."""


@dataclass(frozen=True)
class _Place:
    """A configuration's place in its population."""

    population: str
    group: str
    covariates: Mapping[str, float]
    prior_log_scale: float | None


def runtime_of(profile: DeviceProfile, precision: str = "fp32") -> Runtime:
    """Return the runtime that prices a profile: that of its anchors, of the precision if it has any."""
    on_mcu = on_microcontroller(profile)
    told = sorted(profile.anchors, key=lambda anchor: anchor.precision != precision)
    for anchor in told:
        known = runtimes.read(anchor.latency_s.source, on_mcu=on_mcu)
        if known.engine != "framework":
            return known
    return _USUAL_RUNTIME[on_mcu]


def on_microcontroller(profile: DeviceProfile) -> bool:
    """Tell whether the cores beside any accelerator are a microcontroller's."""
    return profile.engine in _ON_MCU and not cores.read(profile.core_family).named


def processor(profile: DeviceProfile) -> cores.Cores:
    """Return the profile's cores: clusters as its chip has them, the first at the profile's own clock."""
    own = cores.read(profile.core_family)
    chip = cores.read(profile.soc)
    if own.named and chip.kind == own.kind:
        first = replace(chip.clusters[0], clock_hz=profile.clock_hz.value)
        return replace(chip, clusters=(first, *chip.clusters[1:]))
    kind = own.kind if own.named else ""
    return cores.Cores((cores.Cluster(kind, profile.clock_hz.value, profile.cores),), own.dot_math)


def _place(profile: DeviceProfile, precision: str, threads: int, runtime: Runtime | None = None) -> _Place:
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, list(PRECISIONS))
    runtime = runtime_of(profile, precision) if runtime is None else runtime
    if profile.engine is EngineFamily.NPU_INT8 and precision == "int8":
        kind = "edge-tpu" if "edge tpu" in profile.soc.lower() else "npu"
        return _Place("accelerator", kind, covariates.of_accelerator(kind, precision, runtime.engine), None)
    if on_microcontroller(profile):
        mcu = mcu_cores.read(f"{profile.core_family} {profile.soc}")
        known = covariates.of_mcu(mcu, runtime.engine, float_math=precision == "fp32")
        fitted, group = population("mcu"), "mcu-latency" if precision == "int8" else "mcu-float-latency"
    else:
        own = processor(profile)
        half = precision == "fp32" and profile.engine is EngineFamily.CPU_FP16 and runtime.engine == "ncnn"
        arithmetic = "fp16" if half else precision
        known = covariates.of_cpu(own, runtime.engine, runtime.year, arithmetic, threads)
        fitted, group = population("cpu"), f"{runtime.engine}-{arithmetic}"
    prior = spec_sheet.log_scale(fitted, profile.clock_hz.value, known)
    return _Place(fitted.name, group, known, prior)


def observation(anchor: Anchor) -> Observation:
    """Return an anchor as what calibration reads.

    Raises
    ------
    UnknownNameError
        If its network is neither published nor written out in terms.
    """
    if anchor.terms:
        return Observation(Work(np.asarray(anchor.terms)), anchor.latency_s.value)
    net = published.find(anchor.model, float(max(anchor.input_shape)))
    if net is None:
        raise UnknownNameError("anchor model", anchor.model, published.names())
    return Observation(Work(net.terms, net), anchor.latency_s.value)


@lru_cache(maxsize=1024)
def configuration(profile: DeviceProfile, precision: str = "fp32", threads: int | None = None) -> Calibrated:
    """Return the device as one calibrated configuration.

    Parameters
    ----------
    profile : DeviceProfile
        Its anchors calibrate; see the module's text.
    precision : str
        "fp32" (whatever float arithmetic the engine uses on this core) or "int8".
    threads : int, optional
        The profile's own number if not given.

    Raises
    ------
    UnknownNameError
        If the precision or an anchor's network is unknown.
    FedliteError
        If `threads` is not between 1 and the number of cores.
    """
    count = profile.threads if threads is None else threads
    if not 1 <= count <= profile.cores:
        raise FedliteError(
            f"{profile.name}: got {count} threads, expected 1 to {profile.cores}; it has {profile.cores} cores"
        )
    device = _configuration(profile, precision, count)
    if precision == "fp32" or device.population.name != "cpu":
        return device
    seen = [observation(anchor) for anchor in _exact(profile, precision, count)]
    return dispatching_like(device, _configuration(profile, "fp32", count), seen)


@lru_cache(maxsize=1024)
def training_configuration(profile: DeviceProfile) -> Calibrated:
    """Return the device, in float, as it would be in the runtime whose costs the factors of training multiply.

    That is the usual one (`training.py`): relative costs of another inference engine say nothing of a training engine,
    so a profile calibrated in one keeps only how far it strays from its spec sheet.
    """
    usual = _USUAL_RUNTIME[on_microcontroller(profile)]
    if on_microcontroller(profile) or runtime_of(profile).engine == usual.engine:
        return configuration(profile)
    return _unmeasured(profile, "fp32", profile.threads, _place(profile, "fp32", profile.threads, usual))


def _exact(profile: DeviceProfile, precision: str, threads: int) -> list[Anchor]:
    """Return the anchors of one configuration. An accelerator's do not depend on the threads of the cores beside it."""
    any_threads = profile.engine is EngineFamily.NPU_INT8 and precision == "int8"
    return [a for a in profile.anchors if a.precision == precision and (any_threads or a.threads == threads)]


def _configuration(profile: DeviceProfile, precision: str, count: int) -> Calibrated:
    place = _place(profile, precision, count)
    fitted = population(place.population)
    exact = _exact(profile, precision, count)
    if exact:
        seen = [observation(anchor) for anchor in exact]
        device = calibrate(fitted, place.covariates, seen, group=place.group, prior_log_scale=place.prior_log_scale)
        guessed = any(anchor.latency_s.kind is Kind.ASSUMED for anchor in exact)
        return _borrowed(device, Calibration.ENGINE_FAMILY) if guessed else device
    return _unmeasured(profile, precision, count, place)


def _unmeasured(profile: DeviceProfile, precision: str, count: int, place: _Place) -> Calibrated:
    """Return a configuration without anchors of its own: its spec sheet, and how far others of the device stray."""
    if place.prior_log_scale is None:
        raise FedliteError(
            f"{profile.name}: got {precision} at {count} threads, which its accelerator was not measured at; "
            "add an anchor of this precision and thread count, see `fedlite devices calibrate`"
        )
    fitted = population(place.population)
    device = calibrate(fitted, place.covariates, [], group=place.group, prior_log_scale=place.prior_log_scale)
    surprise = _surprise(profile, precision, count)
    if surprise is None:
        return device
    return _borrowed(replace(device, log_scale=device.log_scale + surprise), Calibration.ENGINE_FAMILY)


def _borrowed(device: Calibrated, kind: Calibration) -> Calibrated:
    """Return a configuration whose level comes from another one: of the same device, or of its chip's sibling."""
    covariance = device.covariance.copy()
    covariance[0, 0] = max(covariance[0, 0], device.population.spec_sheet.transfer**2)
    return replace(device, covariance=covariance, calibration=kind)


def _surprise(profile: DeviceProfile, precision: str, threads: int) -> float | None:
    """Return how much slower (log) the nearest anchored configuration is than its spec sheet says."""
    # What an accelerator does to its own precision says nothing of the core beside it.
    usable = [a for a in profile.anchors if profile.engine is not EngineFamily.NPU_INT8 or a.precision == precision]
    if not usable:
        return None
    nearest = min(usable, key=lambda a: (a.precision != precision, abs(a.threads - threads), a.model))
    place = _place(profile, nearest.precision, nearest.threads)
    same = [a for a in profile.anchors if (a.precision, a.threads) == (nearest.precision, nearest.threads)]
    measured = calibrate(
        population(place.population), place.covariates, [observation(a) for a in same], group=place.group,
        prior_log_scale=place.prior_log_scale,
    )  # fmt: skip
    return measured.log_scale - (place.prior_log_scale or 0.0)


def estimate(device: Calibrated, seconds: Number, work: Work) -> Estimate:
    """Return seconds with the band that the device's calibration has for this work."""
    band = device.band(work)
    return Estimate.within(seconds, band.low, band.high, device.calibration)


def inference_s(
    profile: DeviceProfile,
    workload: Workload,
    *,
    precision: str = "fp32",
    threads: int | None = None,
    batch: int = 1,
) -> Estimate:
    """Return the latency of one forward pass of a batch, in seconds.

    Raises
    ------
    UnknownNameError, FedliteError
        See `configuration`.
    """
    if batch < 1:
        raise FedliteError(f"batch: got {batch}, expected 1 or more")
    device = configuration(profile, precision, threads)
    work = Work(workload_terms(workload, batch), known_net(workload))
    return estimate(device, device.latency_s(work), work)


def known_net(workload: Workload) -> Net | None:
    """Return the published network that this is, by name and, within a tenth, work, so that its own offset applies."""
    *channels, height, width = (0, 0, *workload.input_shape)[-3:]
    side = float(np.sqrt(height * width)) if channels[0] else 0.0
    return published.of_workload(workload.model, workload.macs, side)


_TERM_OF_OP = {
    OpClass.CONV3X3: CONV3X3,
    OpClass.CONV1X1: CONV1X1,
    OpClass.CONV_OTHER: CONV_OTHER,
    OpClass.DEPTHWISE: DEPTHWISE,
    OpClass.LINEAR: LINEAR,
    OpClass.RECURRENT: LINEAR,
}


def work_terms(macs_by_op: Mapping[OpClass, int], bytes_moved: float) -> NDArray[np.float64]:
    """Return the terms (9,) of counted work: multiply-accumulates by class and bytes of activations moved."""
    terms = np.zeros(len(TERMS))
    for op, macs in macs_by_op.items():
        term = _TERM_OF_OP.get(op, CONV1X1)
        # Products of whole batches stream their weights once per LINEAR_REUSE samples.
        unit = FP32_BYTES / LINEAR_REUSE if term == LINEAR else 1.0
        terms[term] += unit * macs / MILLION
    terms[ACTIVATIONS] = bytes_moved / MILLION
    return terms


def work_s(profile: DeviceProfile, macs_by_op: Mapping[OpClass, int], bytes_moved: float = 0.0) -> Estimate:
    """Return the time of counted work of any client code (`learning.counting`), at the device's inference rates.

    Backward passes count with the multiply-accumulates that they really execute. The band is widened to the engine
    family's, because nothing is known of the code's kernels.
    """
    device = configuration(profile)
    terms = work_terms(macs_by_op, bytes_moved)
    seconds = float(device.costs @ terms)
    wide = max(device.calibration, Calibration.ENGINE_FAMILY, key=list(Calibration).index)
    return estimate(_borrowed(device, wide), seconds, Work(terms))
