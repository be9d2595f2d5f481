"""Availability of devices: every implementation under one name, and the one that needs no model.

`Always` is mains-powered equipment, `Diurnal` people's phones and watches, `TraceReplay` a recording.
"""

from __future__ import annotations

import numpy as np

from fedlite.simulation.conditions import (
    CONDITIONS,
    GBOARD,
    Availability,
    Bools,
    Condition,
    Conditions,
    Ids,
    Times,
)
from fedlite.simulation.diurnal import Diurnal, DiurnalHabits
from fedlite.simulation.trace import Trace, TraceReplay, read_trace

__all__ = [
    "CONDITIONS",
    "GBOARD",
    "Always",
    "Availability",
    "Condition",
    "Conditions",
    "Diurnal",
    "DiurnalHabits",
    "Trace",
    "TraceReplay",
    "read_trace",
]


class Always:
    """Mains power, unmetered network, nobody in the way: gateways, cameras, benchmark fleets."""

    def plugged(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return True for every device."""
        return np.ones(np.broadcast(ids, t_s).shape, dtype=np.bool_)

    def unmetered(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return True for every device."""
        return self.plugged(ids, t_s)

    def idle(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return True for every device."""
        return self.plugged(ids, t_s)

    def eligible(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Bools:
        """Return True for every device."""
        return self.plugged(ids, t_s)

    def ends_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:
        """Return inf: nothing ever stops."""
        return np.full(np.broadcast(ids, t_s).shape, np.inf)

    def next_start_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:
        """Return `t_s`: everything holds now."""
        return np.broadcast_to(np.asarray(t_s, dtype=np.float64), np.broadcast(ids, t_s).shape).copy()
