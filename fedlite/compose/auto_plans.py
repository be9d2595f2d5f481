"""`plan: auto` of a scenario: what a job under each rung of the ladder asks of a device class, and what it may take."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fedlite import wire
from fedlite.compose.shipping import pack
from fedlite.devices import network, power
from fedlite.devices.channels import Channels, infeasible
from fedlite.devices.cost import Cost
from fedlite.errors import FedliteError
from fedlite.learning import models
from fedlite.planning import auto
from fedlite.pricing import Work, heat_of, on_device_s
from fedlite.techniques.automatic import parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compose.learning import Learning
    from fedlite.compose.shipping import Packed
    from fedlite.compression.plan import Plan
    from fedlite.devices.profile import DeviceProfile
    from fedlite.fleet.rules import Budgets
    from fedlite.scenario.schema import Scenario

LARGE_CLIENT = 0.9
"""The quantile of the clients' examples that a plan must fit: nine in ten clients finish, outliers do not decide."""


class Shipments:
    """What plans make of the model as a run begins with it: its size and work are those of the trained one.

    Each is made once, for all device classes and codecs.
    """

    def __init__(self, learning: Learning) -> None:
        self._ware = replace(learning.ware(learning.arrays), round_=0)
        self._made: dict[Plan, Packed | FedliteError] = {}

    def of(self, plan: Plan) -> Packed:
        """Return what is shipped under a plan.

        Raises
        ------
        FedliteError
            If a delivery does not apply to the model.
        """
        key = plan.shipment
        if key not in self._made:
            try:
                self._made[key] = pack(self._ware, key)
            except FedliteError as error:
                self._made[key] = error
        made = self._made[key]
        if isinstance(made, FedliteError):
            raise made
        return made


def choose(
    profile: DeviceProfile,
    scenario: Scenario,
    learning: Learning,
    budgets: Budgets,
    price_of: Callable[..., Work],
    shipments: Shipments,
) -> auto.Choice:
    """Return the mildest plan that fits a device class whose rule says `auto`.

    Parameters
    ----------
    profile, scenario, learning
    budgets : Budgets
        The scenario's.
    price_of : callable
        What local training under a plan costs on the profile: (plan, examples=...).
    shipments : Shipments
    """
    limits = _limits(profile, scenario, budgets)
    among = scenario.auto_among(profile=profile.name, tier=profile.tier)
    examples = int(np.quantile([len(rows) for rows in learning.rows], LARGE_CLIENT, method="higher"))

    def asked(plan: Plan) -> auto.Demand:
        found = demand(profile, plan, price_of(plan, examples=examples), learning, scenario, examples)
        if not (plan.deliveries or limits.of_shipment):
            return found
        try:
            return replace(found, shipment=_shipment(shipments.of(plan), profile))
        except FedliteError as error:
            return replace(found, problems={**found.problems, "delivery": str(error)})

    return auto.choose(among or _ladder(profile, scenario, learning, limits), asked, limits)


def _ladder(profile: DeviceProfile, scenario: Scenario, learning: Learning, limits: auto.Limits) -> list[Plan]:
    start = scenario.plan_for(profile=profile.name, tier=profile.tier)
    rule = scenario.rule_for(profile=profile.name, tier=profile.tier)
    fixed_codecs = rule.up is not None or rule.down is not None or scenario.privacy.clips_on_client
    ships = limits.of_shipment and not start.deliveries
    return auto.ladder(
        start,
        widths=auto.WIDTHS if _can_be_sliced(learning.spec.name) else auto.WIDTHS[:1],
        deliveries=[parsed(name).plan.deliveries for name in auto.DELIVERIES] if ships else (),
        wires=() if fixed_codecs else auto.WIRES,
    )


def _can_be_sliced(model: str) -> bool:
    return "width" in inspect.signature(models.factory_of(model)).parameters


def _limits(profile: DeviceProfile, scenario: Scenario, budgets: Budgets) -> auto.Limits:
    """Return what a device may give; a job that swaps is no plan, so memory ends where swapping begins."""
    deadline_s = scenario.deadline_s
    return auto.Limits(
        memory_bytes=min(profile.job_ram_bytes.value, budgets.memory_bytes or np.inf),
        storage_bytes=min(profile.storage_bytes.value, budgets.storage_bytes or np.inf),
        train_s=budgets.cpu_time_s / budgets.cpu_share,
        time_s=np.inf if deadline_s is None else deadline_s,
        energy_j=budgets.energy_per_day_j,
        metered_bytes=budgets.metered_bytes_per_month,
        **scenario.auto_limits(profile=profile.name, tier=profile.tier),
    )


def _shipment(packed: Packed, profile: DeviceProfile) -> auto.Shipment:
    return auto.Shipment(
        stored_bytes=float(len(packed.file)),
        latency_s=float(packed.latency(profile).value),
        inference_j=float(packed.energy(profile).value),
        inference_memory_bytes=float(packed.memory(profile).value),
    )


def demand(
    profile: DeviceProfile, plan: Plan, work: Work, learning: Learning, scenario: Scenario, examples: int
) -> auto.Demand:
    """Return what a job of a client of so many rows asks of a device at the median rate of its link."""
    cpu_share = scenario.fleet.budgets.cpu_share or 1.0
    onset_s, sustained = heat_of(profile)
    # A job that swaps fits no limit, so memory slows nothing here.
    taken = on_device_s(work.time_s, 0.0, ram_bytes=1.0, cpu_share=cpu_share, onset_s=onset_s, sustained=sustained)
    train_s = float(np.max(taken))
    # An update does not exist yet: the most that its codec can make of it.
    up_bytes, down_bytes = wire.most_bytes(learning.part(plan), plan.up), learning.downlink_bytes(plan)
    access = scenario.fleet.network.access or profile.radios[0]
    transfers_s, radio_j = _radio(profile, access, down_bytes, up_bytes, train_s)
    never = infeasible(access, profile.radio_generation, float(max(up_bytes, down_bytes)))
    return auto.Demand(
        Cost(
            time_s=train_s + transfers_s,
            energy_j=power.split(profile).compute_w * cpu_share * train_s + radio_j,
            up_bytes=float(up_bytes),
            down_bytes=float(down_bytes),
            peak_bytes=work.peak_bytes,
        ),
        train_s=train_s,
        storage_bytes=down_bytes + examples * float(learning.data.x_train[0].nbytes),
        metered_bytes=float(up_bytes + down_bytes) if network.ACCESS[access].metered else 0.0,
        problems={"link": never} if never else {},
    )


def _radio(profile: DeviceProfile, access: str, down_bytes: int, up_bytes: int, train_s: float) -> tuple[float, float]:
    """Return seconds and joules of a job's transfers at the access type's median rates, the radio idle before it."""
    kind, median, only = network.ACCESS[access], np.full(1, 0.5), np.zeros(1, dtype=np.int64)
    down, up = Channels([(access, profile.radio_generation)]).job(
        only,
        np.full(1, float(down_bytes)),
        np.full(1, float(up_bytes)),
        network.Rates(kind.down_bps.at(median), kind.up_bps.at(median), kind.rtt_s.at(median)),
        between_s=np.full(1, train_s),
        awake_s=np.zeros(1),
    )
    return float((down.time_s + up.time_s)[0]), float((down.energy_j + up.energy_j)[0])
