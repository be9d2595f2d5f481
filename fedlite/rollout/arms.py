"""The two arms of a rehearsal: what the devices with the new model report, and those that are held out beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fedlite.rollout.monitor import Arm
from fedlite.rollout.signals import Reporting, Running, install_failures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.fleet.state import Fleet
    from fedlite.rollout.audience import Members
    from fedlite.rollout.delivery import Delivery
    from fedlite.rollout.plan import Plan
    from fedlite.rollout.worlds import World

    Ids = NDArray[np.int64]
    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Arms:
    """Who reports what in one replication, of a plan in a world."""

    plan: Plan
    fleet: Fleet
    world: World
    members: Members
    replication: int

    def of(self, metric: str, delivery: Delivery) -> tuple[Arm, Arm | None]:
        """Return the treated arm and the control arm, None where a metric or a plan has none.

        Parameters
        ----------
        metric : str
        delivery : Delivery
            Of all N devices.
        """
        if metric == "install_failure":
            return Arm(install_failures(delivery), self._profile), None
        reporting = Reporting(self.plan.telemetry, self.plan.seed, self.replication)
        treated = Arm(reporting.of(metric, self._running_new(delivery)), self._profile)
        held = np.flatnonzero(self.members.held_out)
        if not held.size:
            return treated, None
        return treated, Arm(
            reporting.of(metric, self._running_old(held, delivery.stands_by_s[held])), self._profile[held]
        )

    @cached_property
    def _profile(self) -> Ids:
        return self.fleet.population.profile_of.astype(np.int64)

    def _running_new(self, delivery: Delivery) -> Running:
        assigned, profile = self.plan.assigned, self._profile
        latency_s, inference_j = self._warm(assigned.latency_s, assigned.inference_j, self.world.new.latency_factor)
        return Running(
            self.fleet.ids, profile, delivery.runs_s, self.world.new, assigned.accuracy[profile],
            latency_s[profile], self._per_day(inference_j[profile], self.fleet.ids), "new",
        )  # fmt: skip

    def _running_old(self, devices: Ids, since_s: Floats) -> Running:
        old, profile = self.plan.old, self._profile[devices]
        latency_s, inference_j = self._warm(old.latency_s, old.inference_j, old.behaviour.latency_factor)
        return Running(
            devices, profile, since_s, old.behaviour, old.accuracy[profile],
            latency_s[profile], self._per_day(inference_j[profile], devices), "old",
        )  # fmt: skip

    def _warm(self, latency_s: Floats, inference_j: Floats, factor: Floats) -> tuple[Floats, Floats]:
        """Return a profile's 95th percentile of latency and its mean energy, both before `factor` comes on top."""
        heat = self.plan.heat
        return heat.p95(latency_s * factor) / factor, inference_j * heat.slowdown(latency_s * factor)

    def _per_day(self, inference_j: Floats, devices: Ids) -> Floats:
        return inference_j * self.plan.inferences_per_day / self.fleet.capacity_of(devices)
