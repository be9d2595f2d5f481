"""What a fleet and its server ask of how devices come: see `check_ins`, which knows the fleet in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fedlite.fleet.pace import Pace
    from fedlite.fleet.protocol import Protocol as Terms
    from fedlite.fleet.visits import Visits

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


class Attendance(Protocol):
    """How the devices of a fleet come to the server."""

    protocol: Terms
    pace: Pace
    visits: Visits
    admitted: int
    """Devices that the server ever lets in."""

    def pass_until(self, now_s: float) -> None:
        """Let everything happen that happens until now."""

    def waiting(self, now_s: float) -> Ids:
        """Return the devices that wait for the server now, in order."""

    def next_arrival_s(self, now_s: float, count: int = 1, within_s: float = np.inf) -> float:
        """Return when so many more devices will have come, infinity if that is not `within_s` from now.

        Some that come may be turned away, so that as many wait then at the most.
        """

    def comes_s(self, device: int) -> float:
        """Return when a device will check in next, infinity while it is at work."""

    def send_away(self, devices: Ids, now_s: float) -> None:
        """Tell devices that wait that they are not needed now, and when to come back."""

    def begin_work(self, devices: Ids) -> None:
        """Take devices that were asked out of the waiting ones, until their job has ended."""

    def end_work(self, devices: Ids, outcomes: NDArray[np.int8], start_s: float, end_s: Floats) -> None:
        """Decide when devices whose jobs began then and ended at `end_s` (n,), with these outcomes (n,), come back."""
