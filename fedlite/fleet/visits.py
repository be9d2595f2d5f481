"""What check-ins cost: starting the process, one request to the server and its answer; counted per device."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.devices.power import BANDS
from fedlite.devices.profile import Kind
from fedlite.rng import normal
from fedlite.units import DAY_S, HOUR_S

if TYPE_CHECKING:
    from fedlite.fleet.protocol import StartUp
    from fedlite.fleet.state import Fleet

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

REQUEST_BYTES: Final = 2_000
ANSWER_BYTES: Final = 4_000
"""Assumed: a TLS handshake with the server's chain of certificates, and a small request and answer."""
SUMS: Final = (
    *("check_ins", "energy_j", "energy_low_j", "energy_high_j", "radio_j", "tail_j"),
    *("up_bytes", "down_bytes", "metered_bytes"),
)
"""What is summed over all check-ins; the names are those of the ledger."""


class Visits:
    """Costs and counts of the check-ins of N devices.

    Parameters
    ----------
    fleet : Fleet
    start_up : StartUp
    seed : int
        Names the stream of how long starting takes.
    """

    def __init__(self, fleet: Fleet, start_up: StartUp, seed: int) -> None:
        n = len(fleet)
        self._fleet = fleet
        self._start_up = start_up
        self._seed = seed
        self.count = np.zeros(n, dtype=np.int32)
        """Check-ins of each device."""
        self.in_vain = np.zeros(n, dtype=np.int32)
        """Those of them that waited and were not needed."""
        self.battery_j = np.zeros(n)
        """What they took out of each battery."""
        self.metered_bytes = np.zeros(n)
        self.energy_j = np.zeros(n)
        self.by_hour = np.zeros(24, dtype=np.int64)
        """Check-ins by hour of the fleet's day."""
        self.sums = dict.fromkeys(SUMS, 0.0)

    @property
    def digest(self) -> str:
        """SHA-256 of what every device did and paid: the sums over them depend on who was added first."""
        sha = hashlib.sha256()
        for values in (self.count, self.in_vain, self.energy_j, self.battery_j, self.metered_bytes):
            sha.update(values.tobytes())
        return sha.hexdigest()

    def start_up_s(self, devices: Ids) -> Floats:
        """Return how long the next start of the process and the model takes on each device, seconds (n,)."""
        law = self._start_up
        bell = normal(self._seed, "start-up", devices, self.count[devices])
        return np.asarray(np.minimum(law.median_s * np.exp(law.sigma * bell), law.most_s))

    def pay(self, devices: Ids, when_s: Floats) -> None:
        """Book one check-in of each of some distinct devices, which reaches the server at `when_s` (n,)."""
        fleet = self._fleet
        profile = fleet.population.profile_of[devices]
        facts, channels = fleet.hardware, fleet.connections.channels
        home = fleet.presence.on_home_link(devices, when_s)
        on = fleet.connections.of(devices, home, fleet.jobs[devices])
        awake_s = fleet.radio_awake_s(devices, home, when_s)
        tail_s = channels.tail_s[on.channel_of]
        sent, got = np.full(len(devices), float(REQUEST_BYTES)), np.full(len(devices), float(ANSWER_BYTES))
        rates = on.rates
        up = channels.transfers(on.channel_of, sent, rates.up_bps, rates.rtt_s, awake_s=awake_s, uplink=True)
        down = channels.transfers(on.channel_of, got, rates.down_bps, 0.0 * rates.rtt_s, awake_s=tail_s, uplink=False)
        radio_j = up.energy_j + down.energy_j
        # Starting is serial: one of the threads that the power at work is of.
        core_w = (facts.active_w[profile] - facts.idle_w[profile]) / facts.threads[profile]
        compute_j = self.start_up_s(devices) * core_w * fleet.budgets.cpu_share
        energy_j = radio_j + compute_j
        battery_j = np.where(fleet.presence.plugged(devices, when_s), 0.0, energy_j)
        metered = on.links.metered * (sent + got)
        fleet.charge(devices, when_s, until_s=when_s, energy_j=energy_j, battery_j=battery_j, metered_bytes=metered)
        fleet.leave_awake(devices, home, when_s + up.time_s + down.time_s + tail_s)
        low, high = BANDS[Kind.ASSUMED]
        self._sum(
            check_ins=float(len(devices)),
            energy_j=energy_j.sum(),
            energy_low_j=(energy_j - np.hypot(compute_j * (1 - low), radio_j * (1 - on.links.radio_low))).sum(),
            energy_high_j=(energy_j + np.hypot(compute_j * (high - 1), radio_j * (on.links.radio_high - 1))).sum(),
            radio_j=radio_j.sum(),
            tail_j=(up.tail_j + down.tail_j).sum(),
            up_bytes=sent.sum(),
            down_bytes=got.sum(),
            metered_bytes=metered.sum(),
        )
        self.battery_j[devices] += np.where(fleet.on_mains(devices), 0.0, battery_j)
        self.metered_bytes[devices] += metered
        self.energy_j[devices] += energy_j
        np.add.at(self.by_hour, (when_s % DAY_S // HOUR_S).astype(np.int64), 1)
        self.count[devices] += 1

    def _sum(self, **more: float) -> None:
        for name in SUMS:
            self.sums[name] += float(more[name])
