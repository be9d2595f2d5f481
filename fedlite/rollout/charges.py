"""How full batteries are, hour by hour: as they would be without the rollout, of whose joules they hardly notice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.units import HOUR_S

if TYPE_CHECKING:
    from fedlite.fleet.state import Fleet

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

_LEVELS = 250


class Charges:
    """The charge of every device of a fleet at every full hour, a byte each.

    Parameters
    ----------
    fleet : Fleet
        Nobody may have asked about the time after `start_s` yet.
    start_s, horizon_s : float
    """

    def __init__(self, fleet: Fleet, start_s: float, horizon_s: float) -> None:
        self._first = int(start_s // HOUR_S)
        hours = int(np.ceil(horizon_s / HOUR_S)) - self._first + 1
        capacity_j = fleet.capacity_of(fleet.ids)
        self._level = np.full((hours, len(fleet)), _LEVELS, dtype=np.uint8)
        mobile = np.flatnonzero(np.isfinite(capacity_j))
        for hour in range(hours):
            now_s = (self._first + hour) * HOUR_S
            fleet.batteries.reach(now_s)
            charge_j = fleet.charge_at(mobile, now_s)
            self._level[hour, mobile] = np.floor(_LEVELS * charge_j / capacity_j[mobile]).astype(np.uint8)

    def next_s(self, devices: Ids, when_s: Floats, least: float) -> Floats:
        """Return the first time from `when_s` (n,) on at which devices have at least this share of their charge."""
        found_s = np.asarray(when_s, dtype=np.float64).copy()
        open_ = np.flatnonzero(np.isfinite(found_s))
        while open_.size:
            hour = (found_s[open_] // HOUR_S).astype(np.int64) - self._first
            over = hour >= len(self._level)
            found_s[open_[over]] = np.inf
            open_, hour = open_[~over], hour[~over]
            low = self._level[hour, devices[open_]] < least * _LEVELS
            open_ = open_[low]
            found_s[open_] = (hour[low] + self._first + 1) * HOUR_S
        return found_s
