"""The final model as it is shipped under a plan: its part of the net, constraints met, deliveries made, and tested."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from fedlite.compression.constraint.magnitude import Masked
from fedlite.compression.part import PartError
from fedlite.compression.structure.base import net_of
from fedlite.delivery.base import Artefact, Calibration, delivered
from fedlite.devices.duty import Duty, duty, hours_by_charge
from fedlite.devices.estimate import Calibration as Known
from fedlite.devices.estimate import Estimate
from fedlite.devices.power import compute_energy
from fedlite.learning import objectives
from fedlite.learning.tracing import trace
from fedlite.learning.training.records import ClientJob, Evaluation
from fedlite.learning.training.trainer import Trainer
from fedlite.planning.break_even import ask
from fedlite.pricing import inference, inference_memory
from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from fedlite.compression.plan import Plan
    from fedlite.delivery.path import Path
    from fedlite.devices.duty import Use
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.workload import Workload
    from fedlite.learning.data.dataset import Dataset
    from fedlite.learning.models.spec import ModelSpec
    from fedlite.planning.break_even import Asked, Request

    Array = NDArray[Any]

_MATRIX: Final = 2
_MILLI: Final = 1e3
_FLOATS: Final = ("fp32", "fp16", "bf16")
CALIBRATION_ROWS: Final = 256


@dataclass(frozen=True)
class Ware:
    """A trained model, and what it may be calibrated and judged by.

    Attributes
    ----------
    spec : ModelSpec
    arrays : sequence of arrays
        The full model.
    data : Dataset
        Its test rows judge.
    calibration : index array
        Training rows of a client, for deliveries.
    held : index array
        Training rows by which deliveries may search.
    seed : int
    objective : str
    round_ : int
        The last, after which it is shipped: constraints may ask for more from round to round. 0 before the first.
    """

    spec: ModelSpec
    arrays: Sequence[Array]
    data: Dataset
    calibration: NDArray[np.int64]
    held: NDArray[np.int64]
    seed: int
    objective: str
    round_: int = 0


@dataclass(frozen=True)
class Way:
    """One of the ways that an inference may go, traced.

    Attributes
    ----------
    share : float
        Of the inferences.
    workload : Workload or None
        What the device computes.
    asks : Request or None
        What it asks from a server, over its preferred link.
    """

    share: float
    workload: Workload | None
    asks: Request | None = None


@dataclass(frozen=True)
class Packed:
    """A model as it is shipped, priced and not yet tested.

    Attributes
    ----------
    plan : Plan
    artefact : Artefact
    file : bytes
        As it lies on flash.
    workload : Workload
        Of one inference that computes all there is.
    ways : tuple of Way
        The ways that an inference may go.
    bands : tuple of (charge, ways)
        The same by the state of the battery, from the fullest, if they follow it: from which charge on.
    """

    plan: Plan
    artefact: Artefact
    file: bytes
    workload: Workload
    ways: tuple[Way, ...]
    bands: tuple[tuple[float, tuple[Way, ...]], ...]

    @property
    def by_charge(self) -> list[tuple[float, Packed]]:
        """The model as it runs from each charge on, from the fullest battery; empty if it does not follow it."""
        return [(charge, replace(self, ways=ways, bands=())) for charge, ways in self.bands]

    @property
    def charge_from(self) -> float | None:
        """The charge from which on it runs as it is priced and tested; None if it does not follow the battery."""
        shown = self.artefact.paths
        return next((band.charge_from for band in self.artefact.bands if band.paths == shown), None)

    @property
    def params(self) -> int:
        """Values that lie on the device."""
        return self.workload.params if self.artefact.on_device else 0

    @property
    def macs(self) -> float:
        """Multiply-accumulates of the device in the mean over inferences."""
        if len(self.ways) == 1 and self.ways[0].workload is self.workload:
            return self.workload.macs
        return float(sum(way.share * way.workload.macs for way in self.ways if way.workload is not None))

    @property
    def precision(self) -> dict[str, str]:
        """Name of a layer -> its precision, where that is not float32."""
        kind = self.plan.effects.inference
        trained = {} if kind == "fp32" else {layer.name.partition("#")[0]: kind for layer in self.workload.layers}
        return {**trained, **self.artefact.precision}

    def latency(self, profile: DeviceProfile) -> Estimate:
        """Return the mean time of one inference on a device."""
        return self._mean(self._latency, profile)

    def energy(self, profile: DeviceProfile) -> Estimate:
        """Return the mean energy of one inference on a device, above idle."""
        return self._mean(self._energy, profile)

    def memory(self, profile: DeviceProfile) -> Estimate:
        """Return the memory of an inference; of one that only asks, that of what it sends and gets."""
        if self.artefact.on_device:
            return inference_memory(profile, self.workload, self.precision)
        held = max((way.asks.bytes for way in self.ways if way.asks is not None), default=0.0)
        return Estimate(held, held, held, Known.MEASURED)

    def duty(self, profile: DeviceProfile, use: Use) -> Duty:
        """Return what a use comes to on a device; how long a battery lasts, too, if what runs follows its charge."""
        # A radio that is asked again before it sleeps takes less than one that is asked once.
        latency, energy = (self._mean(parts, profile, use.per_s) for parts in (self._latency, self._energy))
        alone = [replace(way, workload=None) for way in self.ways if way.asks is not None]
        waits = [self._latency(way, profile, use.per_s)[0].scaled(way.share) for way in alone]
        found = duty(
            profile,
            latency,
            use,
            waits_s=float(sum(one.value for one in waits)),
            energy_j=float(energy.value),
            flat_out_s=float(self._mean(self._latency, profile, math.inf).value),
        )
        states = self.by_charge
        if not states:
            return found
        hours = [one.duty(profile, use).hours_to_empty for _, one in states]
        return replace(found, hours_to_empty=hours_by_charge(hours, [charge for charge, _ in states]))

    def inference_on(self, profile: DeviceProfile) -> dict[str, dict[str, Any]]:
        """Return what an inference takes on a device, each with its band, as JSON values.

        Raises
        ------
        FedliteError
            If the device does not compute in its precision.
        """
        return {
            "latency_ms": self.latency(profile).record(_MILLI),
            "energy_mj": self.energy(profile).record(_MILLI),
            "peak_memory_bytes": self.memory(profile).record(),
        }

    def _latency(self, way: Way, profile: DeviceProfile, per_s: float) -> list[Estimate]:
        computed = [] if way.workload is None else [inference(profile, way.workload, self.precision)]
        return computed + [one.time for one in _asked(way, profile, per_s)]

    def _energy(self, way: Way, profile: DeviceProfile, per_s: float) -> list[Estimate]:
        asked = [one.energy for one in _asked(way, profile, per_s)]
        if way.workload is None:
            return asked
        return [compute_energy(profile, inference(profile, way.workload, self.precision), above_idle=True), *asked]

    def _mean(
        self, parts: Callable[[Way, DeviceProfile, float], list[Estimate]], profile: DeviceProfile, per_s: float = 0.0
    ) -> Estimate:
        """Return the mean over ways of an inference that is alone, or one of so many a second."""
        found = [one.scaled(way.share) for way in self.ways for one in parts(way, profile, per_s)]
        return reduce(Estimate.__add__, found)


def _asked(way: Way, profile: DeviceProfile, per_s: float) -> list[Asked]:
    """Return what a way asks over the preferred link; it has its share of so many inferences a second."""
    if way.asks is None:
        return []
    return [ask(profile, profile.radios[0], way.asks, 1.0 / (per_s * way.share) if per_s else math.inf)]


@dataclass(frozen=True)
class Shipped(Packed):
    """A model as it is shipped, tested.

    Attributes
    ----------
    score : Evaluation
        Of what a device reads from the file, on the test rows.
    """

    score: Evaluation


def pack(ware: Ware, plan: Plan, previous: Artefact | None = None) -> Packed:
    """Return what a plan's devices get of a trained model.

    Parameters
    ----------
    ware : Ware
    plan : Plan
    previous : Artefact, optional
        What was shipped before, for deliveries that begin there; what then goes to a device that has it is told.

    Raises
    ------
    FedliteError
        If a delivery does not apply to the model.
    """
    artefact = artefact_of(ware, plan, previous)
    if left := _left_in_float32(artefact):
        artefact = artefact.telling(weights_left_in_float32=left)
    if previous is not None:
        artefact = artefact.telling(update_bytes=len(artefact.update(previous)))
    workload = trace(artefact.plain, ware.spec.input_shape, name=ware.spec.name)
    ways = _ways(artefact.paths, ware) or (Way(1.0, workload),)
    bands = tuple((band.charge_from, _ways(band.paths, ware)) for band in artefact.bands)
    return Packed(plan, artefact, artefact.file(), workload, ways, bands)


def ship(ware: Ware, plan: Plan, previous: Artefact | None = None) -> Shipped:
    """Return the same, tested on what a device reads from the file."""
    packed = pack(ware, plan, previous)
    arrays = packed.artefact.read(packed.file)
    score = _trainer(packed.artefact.net, ware).evaluate(arrays, ware.data.x_test, ware.data.y_test)
    return Shipped(**{one.name: getattr(packed, one.name) for one in fields(Packed)}, score=score)


def _ways(paths: Sequence[Path], ware: Ware) -> tuple[Way, ...]:
    """Return the ways of an inference; a part of a net has no name by which a published one is known."""
    return tuple(
        Way(path.share, None if path.plain is None else trace(path.plain, ware.spec.input_shape, name=""), path.asks)
        for path in paths
    )


def score_of(shipped: Shipped, ware: Ware, x: NDArray[np.float32]) -> Evaluation:
    """Return how good the shipped model is on other inputs for the labels of the test rows."""
    return _trainer(shipped.artefact.net, ware).evaluate(shipped.artefact.read(shipped.file), x, ware.data.y_test)


def predicted(shipped: Shipped, ware: Ware) -> Array:
    """Return what the shipped model says of each test row, as its objective keeps it."""
    arrays = shipped.artefact.read(shipped.file)
    return _trainer(shipped.artefact.net, ware).predict(arrays, ware.data.x_test, ware.data.y_test)


def _left_in_float32(artefact: Artefact) -> float:
    """Return the share of the weights that no delivery has written otherwise; 0 if none has written any."""
    plain = [value for value in artefact.plain.state_dict().values() if value.ndim >= _MATRIX]
    left = [
        value for value in artefact.net.state_dict().values() if value.ndim >= _MATRIX and value.is_floating_point()
    ]
    share = sum(value.numel() for value in left) / max(sum(value.numel() for value in plain), 1)
    return share if share < 1 and artefact.codec[0] in _FLOATS else 0.0


def score_on_held(shipped: Packed, ware: Ware) -> Evaluation:
    """Return how good a shipped model is on the rows by which searches may choose."""
    arrays, data = shipped.artefact.read(shipped.file), ware.data
    return _trainer(shipped.artefact.net, ware).evaluate(arrays, data.x_train[ware.held], data.y_train[ware.held])


def artefact_of(ware: Ware, plan: Plan, previous: Artefact | None = None) -> Artefact:
    """Return the same before it is written to a file and tested."""
    part = plan.structure.place(ware.spec, ware.arrays).take()
    net = _seen(filled(net_of(plan.structure, ware.spec), part), ware, plan)
    start = Artefact.of(net, plan.effects.stored)
    if (plain := plan.structure.plain(ware.spec)) is not None:
        start = replace(start, plain=filled(plain, state_of(net)))
    rows = Calibration(
        ware.data.x_train[ware.calibration],
        lambda one: _loss(one, ware),
        stream(ware.seed, "delivery"),
        len(ware.held),
        None if previous is None else previous.net,
        {} if previous is None else previous.masks,
        (ware.data.x_train[ware.held], ware.data.y_train[ware.held]),
    )
    made = delivered(start, plan.deliveries, rows)
    if not (made.on_device or plan.structure.is_full):
        # What answers is on the server, and need not be a part.
        raise PartError(
            f"{plan.structure.label}: got it beside {plan.deliveries[-1].label!r}, which has nothing on the device to"
            " be made smaller, expected the full net; leave one of them out"
        )
    return made


def _seen(net: nn.Module, ware: Ware, plan: Plan) -> nn.Module:
    """Return the net as training under the plan's constraints sees it: what its devices are shipped, and tested on.

    Raises
    ------
    PartError
        If masks leave a layer of the trained net no weight.
    """
    if not plan.constraints:
        return net
    job = ClientJob(np.arange(0), ware.seed)
    found = _trainer(net, ware).seen(state_of(net), plan.constraints, job, ware.round_)
    # What is not trained yet may still grow.
    masks = ", ".join(part.label for part in plan.constraints if isinstance(part, Masked) and ware.round_)
    for name, weights in zip(net.state_dict(), found, strict=True):
        if masks and weights.ndim >= _MATRIX and not weights.any():
            raise PartError(f"{masks}: leaves none of the {weights.size:,} weights of {name}; take away fewer")
    return filled(net, found)


def _loss(net: nn.Module, ware: Ware) -> float:
    found = _trainer(net, ware).evaluate(state_of(net), ware.data.x_train[ware.held], ware.data.y_train[ware.held])
    return float(found.metrics["loss"])


def _trainer(net: nn.Module, ware: Ware) -> Trainer:
    return Trainer(net, objective=objectives.objective(ware.objective), mode="sequential")


def filled(net: nn.Module, arrays: Sequence[Array]) -> nn.Module:
    """Return the net with these values as its state."""
    state = {name: torch.from_numpy(np.array(one)) for name, one in zip(net.state_dict(), arrays, strict=True)}
    net.load_state_dict(state)
    return net


def state_of(net: nn.Module) -> list[Array]:
    """Return copies of the tensors of a net's state, in its order."""
    return [value.detach().numpy().copy() for value in net.state_dict().values()]
