"""How long a device computes: a profile made into a calibrated configuration, and work priced on it.

The profile's anchors calibrate the configuration they were measured on. Another precision or thread count of the same
device keeps the anchor's surprise (measured against spec sheet) and takes the rest from the population; a device
without anchors is estimated from core family, threads and clock. Each of these steps has its own, wider error band.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices import cores, published, spec_sheet
from fedlite.devices.calibration import Calibrated, Observation, Work, calibrate
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
from fedlite.devices.workload import OpClass, Workload
from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

PRECISIONS = ("fp32", "int8")

_TABLE: Mapping[tuple[EngineFamily, str], tuple[str, str]] = {
    (EngineFamily.CPU_FP32, "fp32"): ("cpu-float", "ncnn-fp32"),
    (EngineFamily.CPU_FP32, "int8"): ("cpu-int8", "ncnn-int8"),
    (EngineFamily.CPU_FP16, "fp32"): ("cpu-float", "ncnn-fp16"),
    (EngineFamily.CPU_FP16, "int8"): ("cpu-int8", "ncnn-int8"),
    (EngineFamily.MCU_INT8, "fp32"): ("mcu", "mcu-float-latency"),
    (EngineFamily.MCU_INT8, "int8"): ("mcu", "mcu-latency"),
    (EngineFamily.NPU_INT8, "fp32"): ("mcu", "mcu-float-latency"),
    (EngineFamily.NPU_INT8, "int8"): ("mcu", "mcu-latency"),
}
"""(engine, precision) -> (population, group). An accelerator prices its int8 anchors on the shape of a microcontroller
and its fp32 work, which runs beside the accelerator, as a microcontroller."""


@dataclass(frozen=True)
class _Place:
    """A configuration's place in its population."""

    population: str
    group: str
    covariates: NDArray[np.float64]
    prior_log_scale: float


def _place(profile: DeviceProfile, precision: str, threads: int) -> _Place:
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, list(PRECISIONS))
    name, group = _TABLE[profile.engine, precision]
    fitted = population(name)
    if name == "mcu":
        covariates = cores.mcu_covariates(profile.core_family, float_math=precision == "fp32")
    else:
        known = cores.read(profile.core_family)
        half = profile.engine is EngineFamily.CPU_FP16
        covariates = cores.covariates(threads, in_order=known.in_order, half_math=half)
    prior = spec_sheet.log_scale(fitted, profile.clock_hz.value, covariates, group)
    return _Place(name, group, covariates, prior)


def _observation(anchor: Anchor) -> Observation:
    net = published.find(anchor.model)
    if net is None:
        raise UnknownNameError("anchor model", anchor.model, published.names())
    return Observation(Work(net.terms, net.name), anchor.latency_s.value)


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
    place = _place(profile, precision, count)
    fitted = population(place.population)
    exact = [a for a in profile.anchors if a.precision == precision and a.threads == count]
    if exact:
        seen = [_observation(anchor) for anchor in exact]
        device = calibrate(fitted, place.covariates, seen, group=place.group, prior_log_scale=place.prior_log_scale)
        guessed = any(anchor.latency_s.kind is Kind.ASSUMED for anchor in exact)
        return replace(device, calibration=Calibration.ENGINE_FAMILY) if guessed else device
    device = calibrate(fitted, place.covariates, [], group=place.group, prior_log_scale=place.prior_log_scale)
    surprise = _surprise(profile, precision, count)
    if surprise is None:
        return device
    return replace(device, log_scale=device.log_scale + surprise, calibration=Calibration.ENGINE_FAMILY)


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
        population(place.population), place.covariates, [_observation(a) for a in same], group=place.group
    )
    return measured.log_scale - place.prior_log_scale


def estimate(device: Calibrated, seconds: Number, net: str | None = None) -> Estimate:
    """Return seconds with the band of the device's calibration class, wider for networks unknown to the fit."""
    band = device.band_of(net)
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
    net = known_net(workload)
    return estimate(device, device.latency_s(Work(workload_terms(workload, batch), net)), net)


def known_net(workload: Workload) -> str | None:
    """Return the published network that this is, by name and size, so that its own offset applies."""
    net = published.find(workload.model)
    return net.name if net is not None and abs(workload.macs / net.macs - 1.0) < _SAME_SIZE else None


_SAME_SIZE = 0.03


_TERM_OF_OP = {
    OpClass.CONV3X3: CONV3X3,
    OpClass.CONV1X1: CONV1X1,
    OpClass.CONV_OTHER: CONV_OTHER,
    OpClass.DEPTHWISE: DEPTHWISE,
    OpClass.LINEAR: LINEAR,
    OpClass.RECURRENT: LINEAR,
}


def work_terms(macs_by_op: Mapping[OpClass, int], bytes_moved: float) -> NDArray[np.float64]:
    """Return the terms (8,) of counted work: multiply-accumulates by class and bytes of activations moved."""
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
    seconds = float(device.costs @ work_terms(macs_by_op, bytes_moved))
    wide = max(device.calibration, Calibration.ENGINE_FAMILY, key=list(Calibration).index)
    return estimate(replace(device, calibration=wide), seconds)
