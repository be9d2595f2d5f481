"""The charge of every battery in the fleet, moved on a fixed grid of virtual time and only when somebody asks.

Within one step of the grid a device is on its charger or not, as it is in the middle of the step. A charge is a
function of the device's jobs and of time: who asks, how often and for whom else changes no bit of it, and a device that
nobody asks about costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.devices import battery
from fedlite.rng import uniform
from fedlite.units import HOUR_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fedlite.devices.profile import DeviceProfile

TICK_S: Final = HOUR_S
"""Length of one step of the grid. Steps begin at whole multiples of it."""
INITIAL_CHARGE: Final = (0.3, 1.0)
"""Charge at the start of a run as a fraction of the capacity, uniform between these. Assumed: no published distribution
of charge at a given hour is at hand; a device that is used daily and charged most nights is seldom below a third."""
BLOCK: Final = 65_536
"""Devices that are moved together: their temporary arrays stay in the processor's cache."""

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Batteries:
    """Charges of N batteries in joules, infinite for devices on mains.

    Parameters
    ----------
    profiles : sequence of DeviceProfile
    profile_of : ndarray of int, shape (N,)
        Position of each device's profile.
    plugged : callable
        Tells for devices, each at its time, which are on a charger; a pure function.
    seed : int
        Names the stream of the initial charges.
    start_s : float
        Virtual time at which the initial charges hold: the begin of its step of the grid.
    """

    def __init__(
        self,
        profiles: Sequence[DeviceProfile],
        profile_of: NDArray[np.int16],
        plugged: Callable[[Ids, Floats], Bools],
        *,
        seed: int,
        start_s: float = 0.0,
    ) -> None:
        self._profile_of = profile_of
        self._plugged = plugged
        self._capacity_j = np.array([p.battery_j.value if p.battery_j else np.inf for p in profiles])
        self._idle_w = np.array([p.idle_w.value for p in profiles])
        self._charge_w = np.array([p.charge_w.value if p.charge_w else 0.0 for p in profiles])
        n = len(profile_of)
        least, most = INITIAL_CHARGE
        share = least + (most - least) * uniform(seed, "initial charge", np.arange(n))
        self._charge_j = self.capacity_j(np.arange(n)) * share
        # The step in which each charge is known, and how far into it.
        self._tick = np.full(n, int(start_s // TICK_S), dtype=np.int32)
        self._into_s = np.zeros(n)
        self._reached = int(start_s // TICK_S)

    def capacity_j(self, devices: Ids) -> Floats:
        """Battery capacity in joules, infinity on mains."""
        return np.asarray(self._capacity_j[self._profile_of[devices]])

    def idle_w(self, devices: Ids) -> Floats:
        """Draw of the idle device in watts."""
        return np.asarray(self._idle_w[self._profile_of[devices]])

    def reach(self, now_s: float) -> None:
        """Promise that nobody will ask about the time before; charges may be kept as of the step that begins then."""
        self._reached = max(self._reached, int(now_s // TICK_S))

    def at(self, devices: Ids, now_s: float | Floats) -> Floats:
        """Return the charge of some distinct devices at a time, or each at its own, or after a job that ends later."""
        charge_j, times_s = np.empty(len(devices)), np.broadcast_to(now_s, len(devices))
        for first in range(0, len(devices), BLOCK):
            block = slice(first, first + BLOCK)
            charge_j[block] = self._at(devices[block], times_s[block])
        return charge_j

    def draw(self, devices: Ids, when_s: Floats, energy_j: Floats) -> None:
        """Take energy out of the batteries of some distinct devices, at a time not before that of their last draw."""
        charge_j, known, into_s = self._moved(devices, when_s // TICK_S)
        left_s = np.maximum(0.0, when_s - (known * TICK_S + into_s))
        charge_j = self._after(devices, charge_j, known, left_s)
        # What is left of a battery that was drained to its floor can be a rounding error below nothing.
        self._charge_j[devices] = battery.drain(charge_j, energy_j)
        self._tick[devices], self._into_s[devices] = known, into_s + left_s

    def _at(self, devices: Ids, now_s: Floats) -> Floats:
        ticks = now_s // TICK_S
        kept = self._moved(devices, np.minimum(self._reached, ticks))
        self._charge_j[devices], self._tick[devices], self._into_s[devices] = kept
        charge_j, tick, into_s = self._moved(devices, ticks)
        return self._after(devices, charge_j, tick, np.maximum(0.0, now_s - (tick * TICK_S + into_s)))

    def _moved(self, devices: Ids, tick: Floats) -> tuple[Floats, NDArray[np.int32], Floats]:
        """Return charge, step and seconds into it, with everybody who is behind moved to the begin of a step."""
        charge_j, known, into_s = self._charge_j[devices], self._tick[devices], self._into_s[devices]
        while (behind := np.flatnonzero(known < tick)).size:
            mine = behind[np.isfinite(charge_j[behind])]
            charge_j[mine] = self._stepped(devices[mine], charge_j[mine], known[mine], TICK_S - into_s[mine])
            into_s[behind] = 0.0
            known[behind] += 1
        return charge_j, known, into_s

    def _after(self, devices: Ids, charge_j: Floats, ticks: NDArray[np.int32], duration_s: Floats) -> Floats:
        """Return the charges after some seconds, each within a step of its own."""
        after = charge_j.copy()
        mine = np.flatnonzero((duration_s > 0) & np.isfinite(charge_j))
        after[mine] = self._stepped(devices[mine], charge_j[mine], ticks[mine], duration_s[mine])
        return after

    def _stepped(self, devices: Ids, charge_j: Floats, ticks: NDArray[np.int32], duration_s: Floats) -> Floats:
        """Return the charges of devices with batteries after some seconds, each within a step of its own."""
        profile = self._profile_of[devices]
        plugged = self._plugged(devices, (ticks.astype(np.float64) + 0.5) * TICK_S)
        idle_w, charge_w = self._idle_w[profile], self._charge_w[profile]
        return battery.step(charge_j, self._capacity_j[profile], plugged, idle_w, charge_w, duration_s)
