"""What a bench's work would have cost, had devices and a server done it: hours, joules and money, from counted passes.

Clients train in rounds, and look at rows for searches and deliveries: that is the devices' work. What is trained on all
rows at once, a net before the rounds or one that learns from a teacher, is the server's. Testing is nobody's.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fedlite.compression.structure.base import net_of
from fedlite.devices.estimate import Calibration, Estimate
from fedlite.devices.power import compute_energy
from fedlite.devices.server import T4, TRAINING_PASSES, US_PRICES
from fedlite.learning.tracing import trace
from fedlite.pricing import Job, price
from fedlite.units import HOUR_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fedlite.compression.plan import Plan
    from fedlite.compression.structure.base import Structure
    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.server import Prices
    from fedlite.devices.workload import Workload
    from fedlite.learning.models.spec import ModelSpec

NOTHING: Final = Estimate(0.0, 0.0, 0.0, Calibration.MEASURED)


@dataclass(frozen=True)
class Done:
    """Work that was done.

    Attributes
    ----------
    spec : ModelSpec
        Of the full net.
    plan : Plan
        Its structure makes the net that is computed, its parts the price of a training step.
    samples : float
        That went through the net, every epoch counted.
    steps : float or None
        Of the optimiser; None if nothing was trained.
    at_server : bool
        Whether it is the server's work, and not a device's.
    """

    spec: ModelSpec
    plan: Plan
    samples: float
    steps: float | None = None
    at_server: bool = False

    @property
    def macs(self) -> float:
        """Multiply-accumulates, the backward passes included."""
        work = traced(self.plan.structure, self.spec)
        return self.samples * (work.macs if self.steps is None else TRAINING_PASSES * work.step_macs)


@dataclass(frozen=True)
class Spent:
    """Time and energy of devices and server: seconds and joules, those of devices above idle."""

    device: Estimate = NOTHING
    device_energy: Estimate = NOTHING
    server: Estimate = NOTHING
    server_energy: Estimate = NOTHING

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.device + other.device,
            self.device_energy + other.device_energy,
            self.server + other.server,
            self.server_energy + other.server_energy,
        )

    def record(self, prices: Prices) -> dict[str, Any]:
        """Return hours, joules and money as JSON values, each with its band."""
        return {
            "device_hours": self.device.scaled(1.0 / HOUR_S).record(),
            "device_j": self.device_energy.record(),
            "server_hours": self.server.scaled(1.0 / HOUR_S).record(),
            "server_j": self.server_energy.record(),
            "money": prices.of(self.server, self.device_energy).record(),
        }


def spent(work: Iterable[Done], profile: DeviceProfile, batch: int) -> Spent:
    """Return what work takes, had devices of one profile and the server done it.

    Parameters
    ----------
    work : iterable of Done
    profile : DeviceProfile
    batch : int
        Samples of a step.
    """
    kinds: dict[tuple[ModelSpec, Plan, bool], list[Done]] = defaultdict(list)
    server_macs = 0.0
    for one in work:
        if one.at_server:
            server_macs += one.macs
        else:
            kinds[one.spec, one.plan, one.steps is not None].append(one)
    times = [_on_device(same, profile, batch) for same in kinds.values()]
    device = reduce(Estimate.__add__, times, NOTHING)
    energy = reduce(Estimate.__add__, (compute_energy(profile, time, above_idle=True) for time in times), NOTHING)
    if not server_macs:
        return Spent(device, energy)
    return Spent(device, energy, T4.time(server_macs), T4.energy(server_macs))


def _on_device(same: Sequence[Done], profile: DeviceProfile, batch: int) -> Estimate:
    """Return the time of work of one kind."""
    samples = np.array([one.samples for one in same])
    steps = None if same[0].steps is None else np.array([one.steps for one in same], dtype=np.float64)
    work = price(
        profile, same[0].plan, traced(same[0].plan.structure, same[0].spec), Job(samples, steps, batch, "adam")
    )
    return Estimate.within(float(np.sum(work.time_s)), work.low, work.high, work.calibration)


def server_record(work: Iterable[Done]) -> dict[str, Any]:
    """Return what a run's server trained, as JSON values: hours, joules and money, and of which machine they are."""
    macs = sum(one.macs for one in work)
    told = Spent(server=T4.time(macs), server_energy=T4.energy(macs)).record(US_PRICES)
    of_server = {name: told[name] for name in ("server_hours", "server_j", "money")}
    return {"macs": macs, **of_server, "prices": _prices(US_PRICES)}


def _prices(prices: Prices) -> dict[str, Any]:
    return {"currency": "USD", "server_hour": prices.server_hour, "kwh": prices.kwh, "server": T4.name}


def bill(parts: dict[str, Spent], prices: Prices) -> dict[str, Any]:
    """Return the sum and the parts as JSON values, with what is paid and to whom.

    Parameters
    ----------
    parts : dict
        By what the work was for.
    prices : Prices
    """
    total = reduce(Spent.__add__, parts.values(), Spent())
    return {
        **total.record(prices),
        "parts": {name: part.record(prices) for name, part in parts.items()},
        "prices": _prices(prices),
    }


@lru_cache(maxsize=1024)
def traced(structure: Structure, spec: ModelSpec) -> Workload:
    """Return the work of the net that a structure cuts out of another."""
    return trace(net_of(structure, spec), spec.input_shape, name=spec.name)
