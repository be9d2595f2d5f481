"""Which population a measured row belongs to, what its text tells of the configuration, and the calibrated device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedlite.devices import covariates, mcu_cores, runtimes, spec_sheet
from fedlite.devices.calibration import Calibrated, Observation, calibrate, dispatching_like

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.devices.fitted import FittedPopulation
    from fedlite.devices.measurements import Measurement

ACCELERATORS = ("gpu", "apple-engine-latency", "npu-latency", "edge-tpu")


@dataclass(frozen=True)
class MeasuredCondition:
    """Where a configuration stands in its population."""

    population: str
    group: str
    covariates: Mapping[str, float]
    clock_hz: float | None
    described: bool
    """Whether the text tells enough (core and clock) for a prediction without anchors."""
    float_path: Mapping[str, float] | None = None
    """Covariates of the same engine in float, where the row computes in integers."""


def condition_of(row: Measurement) -> MeasuredCondition | None:
    """Return the condition of an inference latency row, or None if no population covers its family."""
    runtime = row.runtime
    if row.on_mcu and row.family.endswith("-latency"):
        mcu = mcu_cores.read(f"{row.device} {row.notes.partition(';')[2]}")
        known = covariates.of_mcu(mcu, runtime.engine, float_math=row.arithmetic == "fp32")
        return MeasuredCondition("mcu", row.family, known, mcu.clock_hz, described=bool(mcu.kind and mcu.clock_hz))
    if row.family in ACCELERATORS:
        known = covariates.of_accelerator(row.family.removesuffix("-latency"), row.arithmetic, runtime.engine)
        return MeasuredCondition("accelerator", row.family, known, None, described=False)
    if not row.family.startswith(runtime.engine):
        return None
    arithmetic, cores = row.arithmetic, row.cores
    known = covariates.of_cpu(cores, runtime.engine, runtime.year, arithmetic, row.thread_count)
    described = cores.named and cores.clock_hz is not None
    in_float = None
    if arithmetic.startswith("int"):
        path = runtimes.arithmetic("default", half_math=cores.half_math, engine=runtime.engine)
        in_float = covariates.of_cpu(cores, runtime.engine, runtime.year, path, row.thread_count)
    return MeasuredCondition("cpu", row.family, known, cores.clock_hz, described, in_float)


def calibrated(
    fitted: FittedPopulation, condition: MeasuredCondition, seen: Sequence[Observation]
) -> Calibrated | None:
    """Return a measured configuration, calibrated by observations, its spec sheet or both; None if it has neither.

    An integer configuration dispatches no dearer than the same engine in float, which is as far off its sheet.
    """
    clock_hz = condition.clock_hz if condition.described and fitted.spec_sheet.coefficients else None
    prior = None if clock_hz is None else spec_sheet.log_scale(fitted, clock_hz, condition.covariates)
    if not seen and prior is None:
        return None
    device = calibrate(fitted, condition.covariates, seen, group=condition.group, prior_log_scale=prior)
    if clock_hz is None or prior is None or condition.float_path is None:
        return device
    sheet = spec_sheet.log_scale(fitted, clock_hz, condition.float_path) + device.log_scale - prior
    path = calibrate(fitted, condition.float_path, [], prior_log_scale=sheet)
    return dispatching_like(device, path, seen)
