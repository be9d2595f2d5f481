"""When operating systems start a job that waits for conditions: at once where they hold, else some time after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fedlite.fleet.presence import Presence

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


def starts_s(presence: Presence, needed: frozenset[str], devices: Ids, wanted_s: Floats, slop_s: Floats) -> Floats:
    """Return when the job of each device starts, infinity if it never does.

    Parameters
    ----------
    presence : Presence
    needed : frozenset of str
        Conditions under which the job may run.
    devices : ndarray of int, shape (n,)
    wanted_s : ndarray, shape (n,)
        From when on each job is there to be run, absolute virtual time.
    slop_s : ndarray, shape (n,)
        What the operating system adds where the job had to wait.
    """
    starts = presence.next_start_s(needed, devices, wanted_s)
    open_ = np.flatnonzero((starts > wanted_s) & np.isfinite(starts))
    while open_.size:
        starts[open_] += slop_s[open_]
        open_ = open_[~presence.holds(needed, devices[open_], starts[open_])]
        starts[open_] = presence.next_start_s(needed, devices[open_], starts[open_])
        open_ = open_[np.isfinite(starts[open_])]
    return starts
