"""Pace steering: when the server tells devices to come back, so that as many come as it needs and not all at once.

A large population is spread: each device is told to come once per time in which, at the rate that is needed and as many
as are about at that hour, every device would come once. A small one is told to come together, at slots of one grid
of time that everybody knows; else too few would ever wait at the same time. The windows depend on the time and on how
long rounds take, not on who asks.

References
----------
Bonawitz et al. 2019, "Towards Federated Learning at Scale: System Design", section 2.3, for both ideas; it gives no
formula. The constants here are assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.units import DAY_S, HOUR_S

if TYPE_CHECKING:
    from fedlite.fleet.presence import Presence
    from fedlite.fleet.protocol import Protocol

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

LEAST_S: Final = 60.0
MOST_S: Final = 2 * DAY_S
"""Clamp of a window: the least interval of Android's OnDevicePersonalization, and its longest."""
JITTER: Final = 0.2
"""Half the width of a window as a share of its middle (federated-compute's jitter of retries)."""
MARGIN: Final = 1.2
"""How many devices are called for each that is needed. Assumed."""
SMALL: Final = 10
"""A population of which fewer devices than so many cohorts are about meets at slots. Assumed."""
SAMPLE: Final = 2000
"""Devices that the forecast of who is about at which hour is made from."""
_MEMORY: Final = 0.5
"""Weight of what was known when the length of another round is learnt."""
_HOURS: Final = np.arange(25) * HOUR_S


class Pace:
    """The windows that a server hands out.

    Parameters
    ----------
    protocol : Protocol
    about : ndarray, shape (24,)
        Devices that meet the rules, hour by hour of the fleet's day.
    """

    def __init__(self, protocol: Protocol, about: Floats) -> None:
        self._protocol = protocol
        self._about = np.maximum(about, 1.0)
        self._together = protocol.selection.rounds and about.mean() < SMALL * protocol.selection.asked
        # Before it knows better the server takes rounds to be as long as they may be.
        self._round_s = protocol.reporting.deadline_s

    def note_round(self, length_s: float) -> None:
        """Learn how long a round took once its cohort was complete, or a job of a server without rounds."""
        self._round_s = _MEMORY * self._round_s + (1.0 - _MEMORY) * max(length_s, 1.0)

    def window(self, now_s: Floats, least_s: float = 0.0) -> tuple[Floats, Floats]:
        """Return from when to when (n,) devices that ask at `now_s` may come back, not before `least_s` from then."""
        if not self._protocol.check_in.steering:
            soonest_s, latest_s = self._protocol.check_in.full_s
            return now_s + max(soonest_s, least_s), now_s + max(latest_s, least_s)
        if self._together:
            return self._next_slot(now_s + max(least_s, LEAST_S))
        return self._spread(now_s, least_s)

    def first(self, now_s: Floats) -> tuple[Floats, Floats]:
        """Return the window of the first check-in: nobody can call devices together that have never been heard from."""
        first_s = self._protocol.check_in.first_s
        if self._together or not self._protocol.check_in.steering:
            return now_s, now_s + first_s
        return now_s, now_s + np.clip(self._once_each_s(now_s), first_s, MOST_S)

    def _next_slot(self, from_s: Floats) -> tuple[Floats, Floats]:
        period_s = self._protocol.period_s
        slot_s = np.ceil(from_s / period_s) * period_s
        # Half of what a device waits: the first to come must still be there when the last one comes.
        return slot_s, slot_s + 0.5 * self._protocol.selection.timeout_s

    def _spread(self, now_s: Floats, least_s: float) -> tuple[Floats, Floats]:
        middle_s = np.clip(self._once_each_s(now_s), LEAST_S, MOST_S)
        begin_s = np.maximum((1.0 - JITTER) * middle_s, least_s)
        # Devices held back by the same least time would else come back as they left: all at once.
        return now_s + begin_s, now_s + begin_s + np.maximum(2.0 * JITTER * middle_s, LEAST_S)

    def _once_each_s(self, now_s: Floats) -> Floats:
        """Return the time from now in which every device is called once, at the rate that each hour allows."""
        needed = MARGIN * self._protocol.selection.asked / self._round_s
        calls = np.concatenate([[0.0], np.cumsum(HOUR_S * needed / self._about)])
        days, into_s = np.divmod(now_s, DAY_S)
        reached = days * calls[-1] + np.interp(into_s, _HOURS, calls) + 1.0
        whole, rest = np.divmod(reached, calls[-1])
        return np.asarray(whole * DAY_S + np.interp(rest, calls, _HOURS) - now_s)


def forecast(presence: Presence, conditions: frozenset[str], devices: Ids, start_s: float) -> Floats:
    """Return how many of the devices meet the conditions at each hour of the day, (24,), from a sample of them."""
    sample = devices[:: max(1, len(devices) // SAMPLE)]
    day_s = start_s // DAY_S * DAY_S
    shares = [presence.holds(conditions, sample, day_s + (hour + 0.5) * HOUR_S).mean() for hour in range(24)]
    return np.array(shares) * len(devices)
