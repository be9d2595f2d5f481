"""Availability of devices: every implementation under one name, and the two that need no model.

`Always` is mains-powered equipment, `Diurnal` people's phones and watches, `TraceReplay` a recording, `ByKind` a fleet
in which these meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedlite.errors import FedliteError
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
    "ByKind",
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
        return np.ones(np.broadcast_shapes(np.shape(ids), np.shape(t_s)), dtype=np.bool_)

    def unmetered(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return True for every device."""
        return self.plugged(ids, t_s)

    def idle(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return True for every device."""
        return self.plugged(ids, t_s)

    def eligible(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Bools:  # noqa: ARG002  (the protocol)
        """Return True for every device."""
        return self.plugged(ids, t_s)

    def ends_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:  # noqa: ARG002  (the protocol)
        """Return inf: nothing ever stops."""
        return np.full(np.broadcast_shapes(np.shape(ids), np.shape(t_s)), np.inf)

    def next_start_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:  # noqa: ARG002  (the protocol)
        """Return `t_s`: everything holds now."""
        return np.broadcast_to(
            np.asarray(t_s, dtype=np.float64), np.broadcast_shapes(np.shape(ids), np.shape(t_s))
        ).copy()


class ByKind:
    """A fleet of several kinds of owner: device `i` follows `parts[kind[i]]`."""

    def __init__(self, parts: Sequence[Availability], kind: NDArray[np.integer[Any]]) -> None:
        self.parts = tuple(parts)
        self.kind = np.asarray(kind)
        if self.kind.size and not 0 <= int(self.kind.min()) <= int(self.kind.max()) < len(self.parts):
            raise FedliteError(
                f"kind: got values from {self.kind.min()} to {self.kind.max()}, expected 0 to {len(self.parts) - 1}, "
                "one number per device naming its part; give as many parts as kinds"
            )

    def plugged(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is on a charger."""
        return self._route(lambda part, i, t: part.plugged(i, t), ids, t_s, np.bool_)

    def unmetered(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is on an unmetered network."""
        return self._route(lambda part, i, t: part.unmetered(i, t), ids, t_s, np.bool_)

    def idle(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is not in use."""
        return self._route(lambda part, i, t: part.idle(i, t), ids, t_s, np.bool_)

    def eligible(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Bools:
        """Return whether all of `conditions` hold for each device at its time."""
        return self._route(lambda part, i, t: part.eligible(i, t, conditions), ids, t_s, np.bool_)

    def ends_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:
        """Return when the first of `conditions` stops holding."""
        return self._route(lambda part, i, t: part.ends_s(i, t, conditions), ids, t_s, np.float64)

    def next_start_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:
        """Return the earliest time from `t_s` on at which all of `conditions` hold."""
        return self._route(lambda part, i, t: part.next_start_s(i, t, conditions), ids, t_s, np.float64)

    def _route(
        self, ask: Callable[[Availability, Ids, Times], NDArray[Any]], ids: Ids, t_s: Times | float, dtype: type[Any]
    ) -> NDArray[Any]:
        ids = np.atleast_1d(np.asarray(ids))
        times = np.broadcast_to(np.asarray(t_s, dtype=np.float64), ids.shape)
        kinds = self.kind[ids]
        result = np.empty(ids.shape, dtype=dtype)
        for number, part in enumerate(self.parts):
            mine = np.flatnonzero(kinds == number)
            if len(mine):
                result[mine] = ask(part, ids[mine], times[mine])
        return result
