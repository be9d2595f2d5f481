"""What local training under a compression plan costs a device: one place, so that every table says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.devices import memory, prediction, training

if TYPE_CHECKING:
    from fedlite.compression.plan import CompressionPlan
    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.training import StepModel
    from fedlite.devices.workload import Workload


def step_of(profile: DeviceProfile, workload: Workload, plan: CompressionPlan) -> StepModel:
    """Return the time of an optimiser step; `workload` is the trace of the model at the plan's width."""
    return training.step_model(profile, workload, width=plan.width, sparsity=plan.sparsity, bits=plan.bits)


def training_peak(
    profile: DeviceProfile,
    workload: Workload,
    plan: CompressionPlan,
    batch: int,
    optimizer: str = "sgd",
    momentum: float = 0.0,
) -> Estimate:
    """Return the peak memory of local training; a microcontroller's runtime is part of its firmware."""
    return memory.training_peak_bytes(
        workload,
        batch,
        optimizer,
        momentum,
        runtime_bytes=0.0 if profile.engine in prediction.MCU_ENGINES else None,
        masked=plan.sparsity > 0,
        bits=plan.bits,
    )
