"""Selection: how a server gathers the cohort of a round out of the devices that check in.

It begins when somebody asks for nodes, and closes as soon as enough devices wait, or when its time is up, if then a
round can begin with those that do; else another one begins with the next device to come. Whoever waits as it closes is
as likely to be chosen as any other; the rest are sent away.

References
----------
Bonawitz et al. 2019, "Towards Federated Learning at Scale: System Design", section 2.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.rng import stream

if TYPE_CHECKING:
    from fedlite.fleet.attendance import Attendance

Ids = NDArray[np.int64]


class Selection:
    """The selections of a run, one after the other.

    Parameters
    ----------
    check_ins : Attendance
    seed : int
        Names the stream that chooses.
    """

    def __init__(self, check_ins: Attendance, seed: int) -> None:
        self._check_ins = check_ins
        self._terms = check_ins.protocol.selection
        self._rng = stream(seed, "selection")
        self._opened_s: float | None = None
        self._chosen = np.empty(0, dtype=np.int64)
        self._used = False

    def cohort(self, now_s: float) -> Ids:
        """Return the devices that were selected, in order; nobody as long as the selection lasts."""
        if self._used:
            self._forget(now_s)
        if not self._chosen.size:
            self._opened_s = now_s if self._opened_s is None else self._opened_s
            self._close(now_s)
        return self._chosen

    @property
    def possible(self) -> bool:
        """Whether as many devices are ever let in as a round begins with."""
        return self._check_ins.admitted >= self._terms.least

    def use(self) -> None:
        """Note that messages left: whoever asks for nodes now begins another selection."""
        self._used = True

    def next_look_s(self, now_s: float) -> float:
        """Return when the cohort may be complete, or the time is up; infinity if nobody will ever come.

        A cohort that stands already is given up: whoever waits on wants another one.
        """
        self._forget(now_s)
        waiting = len(self._check_ins.waiting(now_s))
        if self._opened_s is not None and self._expired(now_s):
            # Abandoned, or `cohort` would have closed it: who waits is told to come back, and the next one to come
            # begins another.
            self._check_ins.send_away(self._check_ins.waiting(now_s), now_s)
            self._opened_s, waiting = None, 0
        if self._opened_s is None:
            self._opened_s = now_s if waiting else self._check_ins.next_arrival_s(now_s)
            if not waiting:
                return self._opened_s
        ends_s = self._opened_s + self._terms.timeout_s
        missing = max(1, self._terms.asked - waiting)
        return min(ends_s, self._check_ins.next_arrival_s(now_s, missing, ends_s - now_s))

    def _close(self, now_s: float) -> None:
        waiting = self._check_ins.waiting(now_s)
        if len(waiting) >= self._terms.asked or (self._expired(now_s) and len(waiting) >= self._terms.least):
            size = min(len(waiting), self._terms.asked)
            self._chosen = np.sort(self._rng.choice(waiting, size=size, replace=False))
            self._check_ins.send_away(np.setdiff1d(waiting, self._chosen), now_s)
            self._opened_s, self._used = None, False

    def _expired(self, now_s: float) -> bool:
        return self._opened_s is not None and now_s >= self._opened_s + self._terms.timeout_s

    def _forget(self, now_s: float) -> None:
        """Send away who was chosen and never asked."""
        left = np.intersect1d(self._chosen, self._check_ins.waiting(now_s))
        self._check_ins.send_away(left, now_s)
        self._chosen, self._used = self._chosen[:0], False
