"""What compression plans make of a model on a device: bytes really encoded, times and memory with their bands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from fedlite import wire
from fedlite.compose.plan_price import step_of, training_peak
from fedlite.compression import magnitude
from fedlite.compression.plan import CompressionPlan
from fedlite.devices import compute
from fedlite.learning import models
from fedlite.learning.tracing import trace
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.trainer import Trainer
from fedlite.rng import stream
from fedlite.units import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile

USUAL_PLANS = (
    CompressionPlan(),
    CompressionPlan("int8 wire", uplink=("int8", "zstd"), downlink=("fp16",)),
    CompressionPlan("top 10 % up", uplink=("topk:0.1", "int8", "zstd"), downlink=("fp16",)),
    CompressionPlan("width 0.75", width=0.75),
    CompressionPlan("width 0.5", width=0.5),
    CompressionPlan("width 0.25", width=0.25),
    CompressionPlan("90 % sparse", sparsity=0.9, uplink=("nonzero", "fp16", "zstd"), downlink=("fp16",)),
    CompressionPlan("8 bits", bits=8, uplink=("int8", "zstd"), downlink=("fp16",)),
)
"""What is shown if nobody asks for a plan of their own: one of each kind, never combined."""

_UPDATE_SAMPLES = 4


@dataclass(frozen=True)
class Target:
    """The model that is compressed, and how it would be trained."""

    model: str
    input_shape: tuple[int, ...]
    classes: int
    batch: int = 16
    optimizer: str = "sgd"
    momentum: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class PlanRow:
    """One plan on one device. `precision` is that of the inference."""

    plan: CompressionPlan
    parameters: int
    macs: int
    stored_bytes: int
    down_bytes: int
    up_bytes: int
    precision: str
    inference_s: Estimate
    step_s: Estimate
    peak_bytes: Estimate
    budget_bytes: float
    remarks: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether training stays within the memory that a job may take."""
        return bool(self.peak_bytes.value <= self.budget_bytes)

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return {
            **asdict(self.plan),
            "parameters": self.parameters,
            "macs": self.macs,
            "stored_bytes": self.stored_bytes,
            "down_bytes": self.down_bytes,
            "up_bytes": self.up_bytes,
            "inference_precision": self.precision,
            "inference_s": _band(self.inference_s),
            "training_step_s": _band(self.step_s),
            "training_peak_bytes": _band(self.peak_bytes),
            "memory_budget_bytes": self.budget_bytes,
            "fits": self.fits,
            "remarks": list(self.remarks),
        }


def compare_plans(profile: DeviceProfile, target: Target, plans: Sequence[CompressionPlan]) -> list[PlanRow]:
    """Return what each plan makes of a model on a device.

    Parameters
    ----------
    profile : DeviceProfile
    target : Target
    plans : sequence of CompressionPlan
        The first is what the remarks compare the others with.
    """
    rows: list[PlanRow] = []
    for plan in plans:
        rows.append(_row(profile, target, plan, rows[0] if rows else None))
    return rows


def _row(profile: DeviceProfile, target: Target, plan: CompressionPlan, first: PlanRow | None) -> PlanRow:
    net = models.build(
        target.model, input_shape=target.input_shape, num_classes=target.classes, width=plan.width, seed=target.seed
    )
    workload = trace(net, target.input_shape, name=target.model)
    down_bytes, up_bytes = _exchange(net, target, plan)
    precision = "int8" if plan.bits == _INT8 else "fp32"
    step_s = step_of(profile, workload, plan).estimate(float(target.batch))
    row = PlanRow(
        plan=plan,
        parameters=workload.params,
        macs=workload.macs,
        stored_bytes=_stored_bytes(net, plan),
        down_bytes=down_bytes,
        up_bytes=up_bytes,
        precision=precision,
        inference_s=compute.inference_s(profile, workload, precision=precision),
        step_s=step_s,
        peak_bytes=training_peak(profile, workload, plan, target.batch, target.optimizer, target.momentum),
        budget_bytes=profile.job_ram_bytes.value,
        remarks=(),
    )
    return PlanRow(**{**vars(row), "remarks": tuple(_remarks(row, first))})


_INT8 = 8


def _arrays(net: nn.Module) -> list[NDArray[Any]]:
    return [value.detach().numpy() for value in net.state_dict().values()]


def _stored_bytes(net: nn.Module, plan: CompressionPlan) -> int:
    """Return the size of the model on flash: sparse if masked, integers if its bits were trained for."""
    arrays = _arrays(net)
    sparse: tuple[str, ...] = ()
    if plan.sparsity:
        arrays = magnitude.apply(arrays, magnitude.masks(arrays, list(net.state_dict()), plan.sparsity, plan.scope))
        sparse = ("nonzero",)
    number = "fp32" if plan.bits is None else f"int{plan.bits}"
    codec = wire.parse_codec((*sparse, number))
    return len(wire.encode(arrays, codec, stream(0, "stored") if codec.stochastic else None))


def _exchange(net: nn.Module, target: Target, plan: CompressionPlan) -> tuple[int, int]:
    """Return the lengths of the packet that goes down and of what comes up after one step on random inputs.

    Codecs with a sparsifier or a lossless stage pack the updates of real data a little better or worse.
    """
    down = wire.check_downlink(plan.downlink)
    packet = wire.encode(_arrays(net), down, stream(target.seed, "down") if down.stochastic else None)
    received = wire.decode(packet)
    masks = magnitude.masks(received, list(net.state_dict()), plan.sparsity, plan.scope) if plan.sparsity else None
    start = magnitude.apply(received, masks) if masks else received
    x, y = _random_data(net, target)
    job = ClientJob(np.arange(len(y)), target.seed)
    config = LocalConfig(batch_size=len(y), optimizer=target.optimizer, momentum=target.momentum)
    cohort = Trainer(net, mode="sequential").train(start, [job], x, y, config, masks=masks, bits=plan.bits)
    trained = [stacked[0] for stacked in cohort.arrays]
    up = wire.parse_codec(plan.uplink)
    sent = wire.to_update(trained, received) if up.sends_update else trained
    return len(packet), len(wire.encode(sent, up, stream(target.seed, "up") if up.stochastic else None))


def _random_data(net: nn.Module, target: Target) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return a few random samples: symbols for models that look them up, normal numbers for all others."""
    rng = stream(target.seed, "compress")
    shape = (_UPDATE_SAMPLES, *target.input_shape)
    symbols = any(isinstance(module, nn.Embedding) for module in net.modules())
    x = rng.integers(target.classes, size=shape) if symbols else rng.standard_normal(shape)
    return x.astype(np.float32), rng.integers(target.classes, size=_UPDATE_SAMPLES)


def _remarks(row: PlanRow, first: PlanRow | None) -> list[str]:
    """Return what a plan does and does not save, in words that claim only what the numbers hold."""
    plan, remarks = row.plan, []
    if first is not None and row.macs < first.macs:
        faster = float(first.step_s.value) / float(row.step_s.value)
        remarks.append(
            f"{row.macs / first.macs:.0%} of the multiplications, but a training step only {faster:.1f} times as fast"
            if faster < first.macs / row.macs
            else f"{row.macs / first.macs:.0%} of the multiplications, a training step {faster:.1f} times as fast"
        )
    if plan.sparsity:
        remarks.append(
            "the mask makes nothing faster and needs memory of its own; it saves bytes where zeros are left out"
        )
    if plan.bits is not None:
        gain = (
            "inference is that of the converted int8 model"
            if plan.bits == _INT8
            else "no 4-bit kernels: inference as fp32"
        )
        remarks.append(f"training steps are slower, not faster; {gain}")
    if plan.is_full and (plan.uplink, plan.downlink) != (("fp32",), ("fp32",)):
        remarks.append("saves bytes on the way, nothing else")
    if not row.fits:
        remarks.append(f"does not fit: a job may take {show(row.budget_bytes, 'bytes')}")
    return remarks


def _band(quantity: Estimate) -> dict[str, Any]:
    return {
        "value": float(quantity.value),
        "low": float(quantity.low),
        "high": float(quantity.high),
        "calibration": str(quantity.calibration),
    }
