"""What one check-in costs a device: starting the process, a request to the server and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.devices.power import BANDS
from fedlite.devices.profile import Kind
from fedlite.fleet.visits import Costs

if TYPE_CHECKING:
    from fedlite.fleet.state import Fleet

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

REQUEST_BYTES: Final = 2_000
ANSWER_BYTES: Final = 4_000
"""Assumed: a TLS handshake with the server's chain of certificates, and a small request and answer."""


def charge(fleet: Fleet, devices: Ids, when_s: Floats, start_up_s: Floats) -> Costs:
    """Charge some distinct devices for a check-in each, and return what it cost them.

    Parameters
    ----------
    fleet : Fleet
    devices : ndarray of int, shape (n,)
    when_s : ndarray, shape (n,)
        When the check-ins reach the server, absolute virtual time.
    start_up_s : ndarray, shape (n,)
        How long each device was starting.
    """
    profile, facts, channels = fleet.population.profile_of[devices], fleet.hardware, fleet.connections.channels
    home = fleet.presence.on_home_link(devices, when_s)
    on = fleet.connections.of(devices, home, fleet.jobs[devices])
    awake_s, tail_s = fleet.radio_awake_s(devices, home, when_s), channels.tail_s[on.channel_of]
    sent, got = np.full(len(devices), float(REQUEST_BYTES)), np.full(len(devices), float(ANSWER_BYTES))
    up = channels.transfers(on.channel_of, sent, on.rates.up_bps, on.rates.rtt_s, awake_s=awake_s, uplink=True)
    # The answer comes over the connection that the request has made.
    at_once_s = np.zeros(len(devices))
    down = channels.transfers(on.channel_of, got, on.rates.down_bps, at_once_s, awake_s=tail_s, uplink=False)
    # Starting is serial: one of the threads that the power at work is of. Budgets bound the jobs, not the start.
    core_w = (facts.active_w[profile] - facts.idle_w[profile]) / facts.threads[profile]
    compute_j = start_up_s * core_w
    radio_j = up.energy_j + down.energy_j
    energy_j = compute_j + radio_j
    battery_j = np.where(fleet.presence.plugged(devices, when_s) | fleet.on_mains(devices), 0.0, energy_j)
    metered_bytes = on.links.metered * (sent + got)
    fleet.charge(devices, when_s, until_s=when_s, energy_j=energy_j, battery_j=battery_j, metered_bytes=metered_bytes)
    fleet.leave_awake(devices, home, when_s + up.time_s + down.time_s + tail_s)
    low, high = BANDS[Kind.ASSUMED]
    return Costs(
        energy_j=energy_j,
        energy_low_j=energy_j - np.hypot(compute_j * (1.0 - low), radio_j * (1.0 - on.links.radio_low)),
        energy_high_j=energy_j + np.hypot(compute_j * (high - 1.0), radio_j * (on.links.radio_high - 1.0)),
        radio_j=radio_j,
        tail_j=up.tail_j + down.tail_j,
        battery_j=battery_j,
        up_bytes=sent,
        down_bytes=got,
        metered_bytes=metered_bytes,
    )
