"""From what jobs demand to seconds and joules on each device: fills the phases that the timeline then runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet.outcomes import Outcome
from fedlite.fleet.timeline import Phases
from fedlite.pricing import on_device_s
from fedlite.units import DAY_S

if TYPE_CHECKING:
    from fedlite.fleet.connections import Connected
    from fedlite.fleet.state import Fleet

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Demands:
    """What n jobs ask of their devices. All arrays have shape (n,).

    `train_s` is the time on the cold device with all of its job threads and no other budget than its own memory;
    `slept_s` is how long the job keeps the device beside that without computing.
    `up_bytes` may be a lower bound while the upload is not encoded yet.
    """

    down_bytes: Floats
    up_bytes: Floats
    train_s: Floats
    peak_bytes: Floats
    storage_bytes: Floats
    slept_s: Floats


@dataclass(frozen=True)
class Priced:
    """n jobs as the timeline runs them, and how their devices are as they start: links, charge, who is plugged in."""

    phases: Phases
    connected: Connected
    awake_s: Floats
    """How long from the start the tail of the radio's last transfer would run; nothing or less: it is idle."""
    charge_j: Floats
    plugged: NDArray[np.bool_]


def price(fleet: Fleet, devices: Ids, now_s: float, demands: Demands) -> Priced:
    """Price n jobs that start now on n different devices.

    The energy of a job is what it adds to the device's idle draw, which drains the battery anyway. What holds as a job
    starts decides for all of it: which link it uses, and whether the charger or the battery pays.
    """
    channels = fleet.connections.channels
    on = fleet.connections.of(devices, fleet.presence.on_home_link(devices, now_s), fleet.jobs[devices])
    facts, profile = fleet.hardware, fleet.population.profile_of[devices]
    killed = demands.peak_bytes > facts.wall_bytes[profile]
    share = fleet.budgets.cpu_share
    train_s = _trained_s(fleet, profile, demands.train_s, np.where(killed, 0.0, demands.peak_bytes))
    between_s = train_s + demands.slept_s
    awake_s = fleet.radio_awake_s(devices, on.links.home, now_s)
    down, up = channels.job(
        on.channel_of, demands.down_bytes, demands.up_bytes, on.rates, between_s=between_s, awake_s=awake_s
    )
    extra_w = (facts.active_w[profile] - facts.idle_w[profile]) * share
    metered_bytes = (demands.down_bytes + demands.up_bytes) * on.links.metered
    charge_j, plugged = fleet.charge_at(devices, now_s), fleet.plugged(devices, now_s)
    largest_bytes = np.maximum(demands.down_bytes, demands.up_bytes)
    refused = _refusals(
        [
            (Outcome.INFEASIBLE_LINK, channels.least_s(on.channel_of, largest_bytes) > DAY_S),
            (Outcome.STORAGE_FULL, demands.storage_bytes > facts.storage_bytes[profile]),
            (Outcome.OUT_OF_MEMORY, killed),
            (Outcome.DATA_CAP, metered_bytes > fleet.metered_left_bytes(devices, now_s)),
        ],
        len(devices),
    )
    phases = Phases(
        refused,
        down,
        between_s,
        up,
        train_s * extra_w,
        channels.tail_s[on.channel_of],
        # A job that sleeps uses no processor meanwhile.
        cpu_limit_s=fleet.budgets.cpu_time_s / share + demands.slept_s,
        energy_limit_j=fleet.allowance_j(devices, now_s),
        battery_limit_j=_battery_limit(fleet, devices, plugged, charge_j),
        idle_w=facts.idle_w[profile],
        cap_s=np.full(len(devices), fleet.job_cap_s),
        **_interruptions(fleet, devices, now_s),
    )
    return Priced(phases, on, awake_s, charge_j, plugged)


def price_uploads(fleet: Fleet, priced: Priced, demands: Demands, computed: NDArray[np.bool_]) -> Priced:
    """Return the prices with the uploads of the jobs that have computed as they were really encoded."""
    up_bytes = np.where(computed, demands.up_bytes, 0.0)
    channels, on, between_s = fleet.connections.channels, priced.connected, priced.phases.train_s
    _, up = channels.job(
        on.channel_of, demands.down_bytes, up_bytes, on.rates, between_s=between_s, awake_s=priced.awake_s
    )
    refused = priced.phases.refused.copy()
    refused[computed & (channels.least_s(on.channel_of, up_bytes) > DAY_S)] = Outcome.INFEASIBLE_LINK.code
    return replace(priced, phases=replace(priced.phases, up=up, refused=refused))


def _trained_s(fleet: Fleet, profile: NDArray[np.int16], time_s: Floats, peak_bytes: Floats) -> Floats:
    facts = fleet.hardware
    taken_s = on_device_s(
        time_s,
        peak_bytes,
        ram_bytes=facts.job_ram_bytes[profile],
        cpu_share=fleet.budgets.cpu_share,
        onset_s=facts.onset_s[profile],
        sustained=facts.sustained[profile],
    )
    return np.asarray(taken_s, dtype=np.float64)


def _refusals(reasons: list[tuple[Outcome, NDArray[np.bool_]]], n: int) -> NDArray[np.int8]:
    """Return the first reason that applies to each job, by its code."""
    refused = np.full(n, Outcome.ARRIVED.code, dtype=np.int8)
    for outcome, applies in reversed(reasons):
        refused[applies] = outcome.code
    return refused


def _battery_limit(fleet: Fleet, devices: Ids, plugged: NDArray[np.bool_], charge_j: Floats) -> Floats:
    capacity_j = fleet.capacity_of(devices)
    finite_j = np.where(np.isinf(capacity_j), 0.0, capacity_j)
    above_floor_j = charge_j - fleet.budgets.battery_floor * finite_j
    return np.where(plugged, np.inf, np.maximum(above_floor_j, 0.0))


def _interruptions(fleet: Fleet, devices: Ids, now_s: float) -> dict[str, Floats]:
    """Seconds from now until the first condition that the rules need stops, under the name of that condition."""
    needed = fleet.rules.conditions
    ends_s = fleet.presence.ends_s(needed, devices, now_s)
    stopped = np.flatnonzero(np.isfinite(ends_s))

    def left_s(condition: str) -> Floats:
        left = np.full(len(devices), np.inf)
        if condition in needed and stopped.size:
            holds = fleet.presence.holds(frozenset({condition}), devices[stopped], ends_s[stopped])
            lost = stopped[~holds]
            left[lost] = ends_s[lost] - now_s
        return left

    return {"unplugged_s": left_s("plugged"), "offline_s": left_s("unmetered"), "interrupted_s": left_s("idle")}
