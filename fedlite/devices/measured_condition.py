"""Which population a measured row belongs to, and what its text tells of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedlite.devices import covariates, mcu_cores

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    return MeasuredCondition("cpu", row.family, known, cores.clock_hz, described)
