"""When devices check in, who waits for the server now, and when each comes back.

    comes -> waits -> is asked -> works -> comes back
          -> refused, or not needed -----> comes back

Everything is drawn by hashing (device, number of its check-in), and happens at its own time, whenever somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet import check_in_cost
from fedlite.fleet.outcomes import CONTRIBUTED, Outcome
from fedlite.fleet.starts import starts_s
from fedlite.fleet.visits import Visits
from fedlite.rng import uniform

if TYPE_CHECKING:
    from fedlite.fleet.pace import Pace
    from fedlite.fleet.protocol import Protocol, Retry
    from fedlite.fleet.state import Fleet

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

_LOST: Final = np.array(
    [o.code for o in (Outcome.BATTERY_EMPTY, Outcome.UNPLUGGED, Outcome.LOST_NETWORK, Outcome.INTERRUPTED)]
)
"""Ends of jobs after which a device soon tries again."""
_TAKEN: Final = np.array([o.code for o in CONTRIBUTED])
"""Ends of jobs after which a device has to wait for its turn; the rest are errors that stay."""


class CheckIns:
    """The check-ins of a fleet.

    Parameters
    ----------
    fleet : Fleet
    protocol : Protocol
    pace : Pace
    seed : int
        Names the streams.
    start_s : float
        Virtual time of the run's start: all devices hear of the campaign then.
    """

    def __init__(self, fleet: Fleet, protocol: Protocol, pace: Pace, *, seed: int, start_s: float) -> None:
        n = len(fleet)
        self.protocol = protocol
        self.pace = pace
        self.visits = Visits(n)
        self._fleet = fleet
        self._seed = seed
        self._draws = np.zeros(n, dtype=np.int32)
        # What happens next to each device: it comes, or, if it waits, goes away again. Never for who is at work.
        self._next_s = np.full(n, np.inf)
        self._waits = np.zeros(n, dtype=bool)
        self._soonest_s = -np.inf
        may = np.flatnonzero(~fleet.excluded)
        self.admitted = int((~self._refused(may)).sum())
        begin_s, end_s = pace.first(np.full(len(may), start_s))
        self._come(may, begin_s, end_s)

    # -- what the server sees -----------------------------------------------------------------------------------------

    def waiting(self, now_s: float) -> Ids:
        """Return the devices that wait for the server now, in order."""
        self.pass_until(now_s)
        return np.flatnonzero(self._waits)

    def next_arrival_s(self, now_s: float, count: int = 1, within_s: float = np.inf) -> float:
        """Return when so many more devices will have come, infinity if that is not `within_s` from now.

        Some that come may be turned away, so that as many wait then at the most.
        """
        self.pass_until(now_s)
        coming_s = self._next_s[~self._waits & (self._next_s <= now_s + within_s)]
        coming_s = coming_s[np.isfinite(coming_s)]
        return float(np.partition(coming_s, count - 1)[count - 1]) if len(coming_s) >= count else np.inf

    def comes_s(self, device: int) -> float:
        """Return when a device will check in next, infinity while it is at work."""
        return float(self._next_s[device])

    def send_away(self, devices: Ids, now_s: float) -> None:
        """Tell devices that wait that they are not needed now, and when to come back."""
        self.pass_until(now_s)
        self._turn_away(devices[self._waits[devices]], np.full(int(self._waits[devices].sum()), now_s))

    # -- what happens to devices --------------------------------------------------------------------------------------

    def begin_work(self, devices: Ids) -> None:
        """Take devices that were asked out of the waiting ones, until their job has ended."""
        self._waits[devices] = False
        self._next_s[devices] = np.inf

    def end_work(self, devices: Ids, outcomes: NDArray[np.int8], start_s: float, end_s: Floats) -> None:
        """Decide when devices whose jobs began then and ended at `end_s` (n,), with these outcomes (n,), come back."""
        if not self.protocol.selection.rounds:
            self.pace.note_round(float(end_s.mean()) - start_s)
        took, lost = np.isin(outcomes, _TAKEN), np.isin(outcomes, _LOST)
        self._come(devices[took], *self._window(end_s[took], self.protocol.min_gap_s))
        self._retry(devices[lost], end_s[lost], self.protocol.check_in.transient)
        left = ~took & ~lost
        self._retry(devices[left], end_s[left], self.protocol.check_in.permanent)

    def pass_until(self, now_s: float) -> None:
        """Let everything happen that happens until now."""
        while self._soonest_s <= now_s:
            due = np.flatnonzero(self._next_s <= now_s)
            waited = self._waits[due]
            self._leave(due[waited])
            self._arrive(due[~waited])
            self._soonest_s = float(self._next_s.min(initial=np.inf))

    def _arrive(self, devices: Ids) -> None:
        """Let devices check in, each at its time."""
        when_s = self._next_s[devices]
        charged = self._fleet.charged(devices, when_s)
        self._retry(devices[~charged], when_s[~charged], self.protocol.check_in.transient)
        devices, when_s = devices[charged], when_s[charged]
        self.visits.add(devices, when_s, check_in_cost.charge(self._fleet, devices, when_s, self._start_up_s(devices)))
        refused = self._refused(devices)
        self.visits.in_vain[devices[refused]] += 1
        self._retry(devices[refused], when_s[refused], self.protocol.check_in.permanent)
        devices, when_s = devices[~refused], when_s[~refused]
        self._waits[devices] = True
        needed = self._fleet.rules.conditions
        lost_s = self._fleet.presence.ends_s(needed, devices, when_s)
        # A selection that its coming has opened closes at this very moment: then it is still there.
        patience_s = np.nextafter(when_s + self.protocol.selection.timeout_s, np.inf)
        self._next_s[devices] = np.minimum(patience_s, lost_s)

    def _leave(self, devices: Ids) -> None:
        """Let devices go that waited in vain: for too long, or until they no longer met the rules."""
        when_s = self._next_s[devices]
        meets = self._fleet.presence.holds(self._fleet.rules.conditions, devices, when_s)
        self._turn_away(devices[meets], when_s[meets])
        self._waits[devices] = False
        self.visits.in_vain[devices[~meets]] += 1
        self._retry(devices[~meets], when_s[~meets], self.protocol.check_in.transient)

    def _turn_away(self, devices: Ids, when_s: Floats) -> None:
        self.visits.in_vain[devices] += 1
        self._waits[devices] = False
        self._come(devices, *self._window(when_s, 0.0))

    # -- coming back --------------------------------------------------------------------------------------------------

    def _window(self, from_s: Floats, least_s: float) -> tuple[Floats, Floats]:
        """Return the window in which devices come back: the server's, but not before their own job runs again."""
        return self.pace.window(from_s, max(least_s, self.protocol.check_in.every_s))

    def _retry(self, devices: Ids, from_s: Floats, retry: Retry) -> None:
        low, high = 1.0 - retry.jitter, 1.0 + retry.jitter
        self._come(devices, from_s + low * retry.after_s, from_s + high * retry.after_s)

    def _come(self, devices: Ids, begin_s: Floats, end_s: Floats) -> None:
        """Let devices check in once in a window, as soon after a moment drawn from it as they meet the rules."""
        wanted_s = begin_s + (end_s - begin_s) * self._uniform("window", devices)
        self._draws[devices] += 1
        self._next_s[devices] = self._starts_s(devices, wanted_s) + self._start_up_s(devices)
        self._soonest_s = min(self._soonest_s, float(self._next_s[devices].min(initial=np.inf)))

    def _starts_s(self, devices: Ids, wanted_s: Floats) -> Floats:
        """Return when the operating systems start the job of checking in."""
        slop_s = self.protocol.check_in.jitter_s * self._uniform("slop", devices)
        return starts_s(self._fleet.presence, self._fleet.rules.conditions, devices, wanted_s, slop_s)

    def _refused(self, devices: Ids) -> NDArray[np.bool_]:
        return self._uniform("refused", devices, fixed=True) < self.protocol.check_in.refused

    def _start_up_s(self, devices: Ids) -> Floats:
        """Return how long the next check-in of each device takes to start."""
        return self.protocol.start_up.draw_s(self._seed, devices, self.visits.count[devices])

    def _uniform(self, purpose: str, devices: Ids, *, fixed: bool = False) -> Floats:
        return uniform(self._seed, f"check-in {purpose}", devices, 0 if fixed else self._draws[devices])
