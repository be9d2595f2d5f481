"""What compression plans make of a model on a device: bytes really encoded, times and memory with their bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from fedlite import wire
from fedlite.client.sending import send
from fedlite.compose.plan_remarks import plan_remarks
from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.plan import Plan
from fedlite.compression.structure.base import net_of
from fedlite.compression.structure.width import Width
from fedlite.devices import compute
from fedlite.learning import models
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.learning.training.records import ClientJob, LocalConfig
from fedlite.learning.training.trainer import Trainer
from fedlite.pricing import Job, price
from fedlite.rng import stream
from fedlite.units import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile
    from fedlite.learning.models.spec import ModelSpec

USUAL_PLANS = (
    Plan(),
    Plan("int8 wire", up=("int8", "zstd"), down=("fp16",)),
    Plan("top 10 % up", up=("topk:0.1", "int8", "zstd"), down=("fp16",)),
    Plan("width 0.75", Width(0.75)),
    Plan("width 0.5", Width(0.5)),
    Plan("width 0.25", Width(0.25)),
    Plan("90 % sparse", constraints=(Magnitude(0.9),), up=("nonzero", "fp16", "zstd"), down=("fp16",)),
    Plan("8 bits", constraints=(FakeQuant(8),), up=("int8", "zstd"), down=("fp16",)),
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

    @property
    def spec(self) -> ModelSpec:
        """How the full net is built."""
        return spec_of(self.model, self.input_shape, self.classes, self.seed)

    @property
    def objective(self) -> str:
        """Name of what is learned."""
        return "reconstruction" if self.model in models.GIVE_INPUT_AGAIN else "cross-entropy"


@dataclass(frozen=True)
class PlanRow:
    """One plan on one device. `precision` is that of the inference."""

    plan: Plan
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
            **self.plan.record,
            "parameters": self.parameters,
            "macs": self.macs,
            "stored_bytes": self.stored_bytes,
            "down_bytes": self.down_bytes,
            "up_bytes": self.up_bytes,
            "inference_precision": self.precision,
            "inference_s": self.inference_s.record(),
            "training_step_s": self.step_s.record(),
            "training_peak_bytes": self.peak_bytes.record(),
            "memory_budget_bytes": self.budget_bytes,
            "fits": self.fits,
            "remarks": list(self.remarks),
        }


def compare_plans(profile: DeviceProfile, target: Target, plans: Sequence[Plan]) -> list[PlanRow]:
    """Return what each plan makes of a model on a device.

    Parameters
    ----------
    profile : DeviceProfile
    target : Target
    plans : sequence of Plan
        The first is what the remarks compare the others with.
    """
    rows: list[PlanRow] = []
    for plan in plans:
        rows.append(_row(profile, target, plan, rows[0] if rows else None))
    return rows


def _row(profile: DeviceProfile, target: Target, plan: Plan, first: PlanRow | None) -> PlanRow:
    net = net_of(plan.structure, target.spec)
    workload = trace(net, target.input_shape, name=target.model)
    down_bytes, up_bytes, start = _exchange(net, target, plan)
    precision = plan.effects.inference
    job = Job(float(target.batch), 1.0, target.batch, target.optimizer, target.momentum)
    work = price(profile, plan, workload, job)
    row = PlanRow(
        plan=plan,
        parameters=workload.params,
        macs=workload.macs,
        stored_bytes=_stored_bytes(plan, start),
        down_bytes=down_bytes,
        up_bytes=up_bytes,
        precision=precision,
        inference_s=compute.inference_s(profile, workload, precision=precision),
        step_s=work.time,
        peak_bytes=work.peak,
        budget_bytes=profile.job_ram_bytes.value,
        remarks=(),
    )
    return PlanRow(**{**vars(row), "remarks": tuple(_remarks(row, first, target))})


def _arrays(net: nn.Module) -> list[NDArray[Any]]:
    return [value.detach().numpy() for value in net.state_dict().values()]


def _stored_bytes(plan: Plan, start: Sequence[NDArray[Any]]) -> int:
    """Return the size of the model on flash: `start` in the codec that the plan's parts allow."""
    codec = wire.parse_codec(plan.effects.stored or ("fp32",))
    return len(wire.encode(start, codec, stream(0, "stored") if codec.stochastic else None))


def _exchange(net: nn.Module, target: Target, plan: Plan) -> tuple[int, int, list[NDArray[Any]]]:
    """Return the lengths of the packet that goes down and of what comes up after one step on random inputs.

    Also returns the model that training began from, with the plan's constraints met.

    Codecs with a sparsifier or a lossless stage pack the updates of real data a little better or worse.
    """
    down = wire.check_downlink(plan.down)
    packet = wire.encode(_arrays(net), down, stream(target.seed, "down") if down.stochastic else None)
    received = wire.decode(packet, most_elements=wire.MOST_ELEMENTS)
    x, y = _random_data(net, target)
    job = ClientJob(np.arange(len(y)), target.seed)
    config = LocalConfig(batch_size=len(y), optimizer=target.optimizer, momentum=target.momentum)
    trainer = Trainer(net, objective=target.objective, mode="sequential")
    cohort = trainer.train(received, [job], x, y, config, constraints=plan.constraints, terms=plan.terms)  # type: ignore[arg-type]
    sent = send(cohort, plan, [target.seed], [{}])
    return len(packet), len(sent.packets[0]), cohort.start


def _random_data(net: nn.Module, target: Target) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return a few random samples: symbols for models that look them up, normal numbers for all others."""
    rng = stream(target.seed, "compress")
    shape = (_UPDATE_SAMPLES, *target.input_shape)
    symbols = any(isinstance(module, nn.Embedding) for module in net.modules())
    x = rng.integers(target.classes, size=shape) if symbols else rng.standard_normal(shape)
    return x.astype(np.float32), rng.integers(target.classes, size=_UPDATE_SAMPLES)


def _remarks(row: PlanRow, first: PlanRow | None, target: Target) -> list[str]:
    """Return what a plan does and does not save, in words that claim only what the numbers hold."""
    first = row if first is None else first
    remarks = plan_remarks(
        row.plan,
        target.spec,
        target.objective,
        macs=row.macs / first.macs,
        params=row.parameters / first.parameters,
        faster=float(first.step_s.value) / float(row.step_s.value),
    )
    if not row.fits:
        remarks.append(f"does not fit: a job may take {show(row.budget_bytes, 'bytes')}")
    return remarks
