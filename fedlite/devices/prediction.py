"""What one model costs one device: latency or training step, energy and peak memory, each with its band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedlite.devices import memory
from fedlite.devices.compute import configuration, inference_s, on_microcontroller
from fedlite.devices.power import compute_energy
from fedlite.devices.training import step_model
from fedlite.errors import UnknownNameError

if TYPE_CHECKING:
    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.workload import Workload

MODES = ("inference", "training")


@dataclass(frozen=True)
class Prediction:
    """Cost of one forward pass or one training step of a batch."""

    device: str
    model: str
    mode: str
    batch: int
    precision: str
    arithmetic: str
    """What the engine computes in: "fp16" where a float network runs in half precision."""
    threads: int
    time: Estimate
    energy: Estimate
    """Of all that the device draws in that time."""
    energy_above_idle: Estimate
    peak: Estimate
    budget_bytes: float
    slowdown: float
    """Factor of `time` that memory pressure adds: 1 if the job fits, inf if it would be killed."""

    def to_json(self) -> dict[str, Any]:
        """Return what `fedlite devices predict --json` prints."""
        return {
            "device": self.device,
            "model": self.model,
            "mode": self.mode,
            "batch": self.batch,
            "precision": self.precision,
            "arithmetic": self.arithmetic,
            "threads": self.threads,
            "latency_ms": self.time.record(1e3),
            "energy_mj": self.energy.record(1e3),
            "energy_above_idle_mj": self.energy_above_idle.record(1e3),
            "peak_memory_bytes": self.peak.record(),
            "calibration": str(self.time.calibration),
            "memory_budget_bytes": self.budget_bytes,
            "fits": float(self.peak.high) <= self.budget_bytes,
        }


def predict(
    profile: DeviceProfile,
    workload: Workload,
    *,
    mode: str = "inference",
    batch: int = 1,
    precision: str = "fp32",
    threads: int | None = None,
    optimizer: str = "sgd",
    momentum: float = 0.0,
) -> Prediction:
    """Return the cost of one forward pass or one optimiser step.

    The time is that of a job with enough memory; `slowdown` tells what pressure would make of it. Whether a job fits is
    judged by the upper end of the memory's band.

    Raises
    ------
    UnknownNameError, FedliteError
        If the mode, precision, threads or batch make no sense for the device.
    """
    if mode not in MODES:
        raise UnknownNameError("mode", mode, list(MODES))
    on_mcu = on_microcontroller(profile)
    runtime = 0.0 if on_mcu else None
    device = configuration(profile, precision, threads)
    arithmetic = "fp16" if device.half_math else precision
    if mode == "inference":
        time = inference_s(profile, workload, precision=precision, threads=threads, batch=batch)
        peak = memory.inference_peak_bytes(workload, batch, precision, in_flash=on_mcu)
    else:
        time = step_model(profile, workload).estimate(float(batch))
        peak = memory.training_peak_bytes(workload, batch, optimizer, momentum, runtime_bytes=runtime)
        precision = arithmetic = "fp32"
    budget = profile.job_ram_bytes.value
    return Prediction(
        device=profile.name,
        model=workload.model,
        mode=mode,
        batch=batch,
        precision=precision,
        arithmetic=arithmetic,
        threads=profile.threads if threads is None else threads,
        time=time,
        energy=compute_energy(profile, time),
        energy_above_idle=compute_energy(profile, time, above_idle=True),
        peak=peak,
        budget_bytes=budget,
        slowdown=float(memory.memory_slowdown(float(peak.high), budget, swaps=not on_mcu)),
    )
