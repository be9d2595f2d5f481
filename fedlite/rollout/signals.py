"""What devices report of the model that they run: one number per device and metric, some time after it was installed.

A gate reads nothing else. Devices of the control arm report the same of the old model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.rng import normal, uniform
from fedlite.rollout.states import State
from fedlite.units import DAY_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fedlite.rollout.delivery import Delivery
    from fedlite.rollout.worlds import Behaviour

    Ids = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Telemetry:
    """What reports rest on.

    Attributes
    ----------
    window_s : float
        A device reports on so long a time with its model.
    labels : int
        Labelled samples behind a device's accuracy.
    accuracy_sd : float
        Standard deviation of the true accuracy between devices.
    latency_sd : float
        The same of the logarithm of a device's 95th percentile of latency.
    """

    window_s: float = DAY_S
    labels: int = 20
    accuracy_sd: float = 0.08
    latency_sd: float = 0.1


@dataclass(frozen=True)
class Running:
    """n devices with a model from `since_s` on; it behaves as `behaviour` says on the profile of each. Shape (n,)."""

    devices: Ids
    profile: NDArray[np.int64]
    since_s: Floats
    behaviour: Behaviour
    accuracy: Floats
    latency_s: Floats
    battery_per_day: Floats
    arm: str
    """Names the streams: the same device behaves anew under another model."""


@dataclass(frozen=True)
class Reports:
    """Values (n,) of a metric, and when each is known: infinity for what never is."""

    value: Floats
    reported_s: Floats


def install_failures(delivery: Delivery) -> Reports:
    """Return 1 for devices on which the install failed, 0 for those on which it went well, as it ends."""
    return Reports((delivery.state == State.INSTALL_FAILED.code).astype(np.float64), delivery.done_s)


@dataclass(frozen=True)
class Reporting:
    """Draws the reports of a replication."""

    telemetry: Telemetry
    seed: int
    replication: int

    def of(self, metric: str, running: Running) -> Reports:
        """Return what devices report of a metric."""
        return Reports(_OF[metric](self, running), running.since_s + self.telemetry.window_s)

    def crashed(self, running: Running) -> Floats:
        """Return 1 for devices that crash within the window."""
        rate = running.behaviour.crashes_per_day[running.profile] / DAY_S
        exposed_s = max(0.0, self.telemetry.window_s - running.behaviour.crashes_after_s)
        return (self._uniform("crash", running) < -np.expm1(-rate * exposed_s)).astype(np.float64)

    def accuracy(self, running: Running) -> Floats:
        """Return the accuracy that each device measures on its few labelled samples."""
        own = running.accuracy - running.behaviour.accuracy_drop[running.profile]
        own = np.clip(own + self.telemetry.accuracy_sd * self._normal("accuracy", running), 0.0, 1.0)
        noise = np.sqrt(own * (1.0 - own) / self.telemetry.labels) * self._normal("labels", running)
        return np.asarray(np.clip(own + noise, 0.0, 1.0))

    def latency(self, running: Running) -> Floats:
        """Return the 95th percentile of latency that each device sees, seconds."""
        factor = running.behaviour.latency_factor[running.profile]
        return running.latency_s * factor * np.exp(self.telemetry.latency_sd * self._normal("latency", running))

    def battery(self, running: Running) -> Floats:
        """Return the share of its battery that inference takes from each device in a day."""
        return running.battery_per_day * running.behaviour.latency_factor[running.profile]

    def _uniform(self, purpose: str, running: Running) -> Floats:
        return uniform(self.seed, f"rollout {purpose} {running.arm}", running.devices, self.replication)

    def _normal(self, purpose: str, running: Running) -> Floats:
        return normal(self.seed, f"rollout {purpose} {running.arm}", running.devices, self.replication)


_OF: Final[dict[str, Callable[[Reporting, Running], Floats]]] = {
    "crash": Reporting.crashed,
    "accuracy": Reporting.accuracy,
    "latency_p95": Reporting.latency,
    "battery_per_day": Reporting.battery,
}
METRICS: Final = ("install_failure", *_OF)
"""Every metric that devices emit."""
BINARY: Final = frozenset({"install_failure", "crash"})
"""Metrics that are yes or no on a device."""
