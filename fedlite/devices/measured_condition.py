"""Which population a measured row belongs to, and what its text tells of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.devices import cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.devices.measurements import Measurement

POPULATION_OF: Final = {
    "ncnn-fp32": "cpu-float",
    "ncnn-fp16": "cpu-float",
    "ncnn-int8": "cpu-int8",
    "tflite-fp32": "runtimes",
    "tflite-int8": "runtimes",
    "xnnpack-fp32": "runtimes",
    "xnnpack-int8": "runtimes",
    "framework-fp32": "runtimes",
    "framework-int8": "runtimes",
    "tensorrt-fp32": "runtimes",
    "tensorrt-int8": "runtimes",
    "gpu": "gpu",
    "mcu-latency": "mcu",
    "mcu-float-latency": "mcu",
}
"""Family of measured inference latencies -> fitted population."""


@dataclass(frozen=True)
class MeasuredCondition:
    """Where a configuration stands in its population."""

    population: str
    group: str
    covariates: NDArray[np.float64]
    clock_hz: float | None
    described: bool
    """Whether the text tells enough (core and clock) for a prediction without anchors."""


def condition_of(row: Measurement) -> MeasuredCondition | None:
    """Return the condition of an inference latency row, or None if no population covers its family."""
    population = POPULATION_OF.get(row.family)
    if population is None:
        return None
    known = cores.read(f"{row.device} {row.source}", little="powersave 1" in row.setting)
    if population == "mcu":
        text = f"{row.device} {row.notes}"
        covariates = cores.mcu_covariates(text, float_math=row.family == "mcu-float-latency")
        return MeasuredCondition(
            population, row.family, covariates, known.clock_hz, described=known.clock_hz is not None
        )
    if population == "gpu":
        plain = np.zeros(len(cores.covariates(1, in_order=False, half_math=False)))
        return MeasuredCondition(population, row.family, plain, None, described=False)
    half = row.family == "ncnn-fp16" or (row.family == "ncnn-int8" and known.half_math)
    covariates = cores.covariates(row.thread_count, in_order=known.in_order, half_math=half)
    described = known.named and known.clock_hz is not None
    return MeasuredCondition(population, row.family, covariates, known.clock_hz, described)
