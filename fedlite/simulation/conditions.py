"""When a device may work: three conditions as pure functions of (device, time), and how they combine.

A device is *plugged* (on a charger), *unmetered* (on a network that costs its owner nothing) and *idle* (nobody uses
it), or not. Asking twice, in another order or for other devices changes nothing: no object here holds any state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from fedlite.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable

Condition = Literal["plugged", "unmetered", "idle"]
Conditions = frozenset[str]
"""Any of plugged, unmetered, idle."""
Ids = NDArray[np.integer[Any]]
Times = NDArray[np.float64]
Bools = NDArray[np.bool_]

CONDITIONS: Final[tuple[Condition, ...]] = get_args(Condition)
GBOARD: Final[Conditions] = frozenset(CONDITIONS)
"""The rule of production systems: only while charging, idle and on an unmetered network (Bonawitz et al. 2019)."""

BLOCK: Final = 16_384
"""Devices per block: the temporary arrays of a block stay in the processor's cache."""


class Availability(Protocol):
    """When devices are plugged, unmetered and idle. `ids` are device numbers, `t_s` one time or one per device."""

    def plugged(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is on a charger (or mains) at its time."""
        ...

    def unmetered(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is on an unmetered network at its time."""
        ...

    def idle(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is not in use at its time."""
        ...

    def eligible(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Bools:
        """Return whether all of `conditions` hold for each device at its time."""
        ...

    def ends_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:
        """Return when the first of `conditions` stops: `t_s` if one does not hold now, inf if none ever stops."""
        ...

    def next_start_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:
        """Return the earliest time from `t_s` on at which all of `conditions` hold, inf if none ever comes."""
        ...


class Timeline(ABC):
    """An `Availability` made of one timeline per condition: subclasses answer for one condition, this class combines.

    Subclasses see aligned one-dimensional arrays of at most `BLOCK` devices.
    """

    horizon_s: float
    """How far ahead changes are looked for; what lies further off counts as never."""

    @abstractmethod
    def holds(self, condition: Condition, ids: Ids, t_s: Times) -> Bools:
        """Return whether the condition holds."""

    @abstractmethod
    def run_end(self, condition: Condition, ids: Ids, t_s: Times, limit_s: Times) -> Times:
        """Return when the condition, which holds at `t_s`, stops; any value >= `limit_s` if it outlasts `limit_s`."""

    @abstractmethod
    def next_on(self, condition: Condition, ids: Ids, t_s: Times) -> Times:
        """Return the earliest time from `t_s` on at which the condition holds, inf if never."""

    def plugged(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is on a charger."""
        return self.eligible(ids, t_s, frozenset({"plugged"}))

    def unmetered(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is on an unmetered network."""
        return self.eligible(ids, t_s, frozenset({"unmetered"}))

    def idle(self, ids: Ids, t_s: Times | float) -> Bools:
        """Return whether each device is not in use."""
        return self.eligible(ids, t_s, frozenset({"idle"}))

    def eligible(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Bools:
        """Return whether all of `conditions` hold for each device at its time."""
        return in_blocks(lambda i, t: self._all(i, t, conditions), ids, t_s, np.bool_)

    def ends_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:
        """Return when the first of `conditions` stops: `t_s` if one does not hold now, inf if none ever stops."""
        return in_blocks(lambda i, t: self._ends(i, t, conditions), ids, t_s, np.float64)

    def next_start_s(self, ids: Ids, t_s: Times | float, conditions: Conditions) -> Times:
        """Return the earliest time from `t_s` on at which all of `conditions` hold, inf if none ever comes."""
        return in_blocks(lambda i, t: self._next_start(i, t, conditions), ids, t_s, np.float64)

    def _all(self, ids: Ids, t_s: Times, conditions: Conditions) -> Bools:
        result = np.ones(len(ids), dtype=np.bool_)
        for condition in ordered(conditions):
            open_ = np.flatnonzero(result)  # later conditions are asked only of devices still in question
            result[open_] = self.holds(condition, ids[open_], t_s[open_])
        return result

    def _ends(self, ids: Ids, t_s: Times, conditions: Conditions) -> Times:
        now = self._all(ids, t_s, conditions)
        ends = np.where(now, np.inf, t_s)
        held = np.flatnonzero(now)
        for condition in reversed(ordered(conditions)):  # the shortest runs first: they limit the search for the others
            limit = ends[held]
            ends[held] = np.minimum(limit, self.run_end(condition, ids[held], t_s[held], limit))
        ends[ends >= t_s + self.horizon_s] = np.inf
        return ends

    def _next_start(self, ids: Ids, t_s: Times, conditions: Conditions) -> Times:
        start = t_s.astype(np.float64)
        last = t_s + self.horizon_s
        open_ = np.arange(len(ids))
        while len(open_):
            before = start[open_]
            after = before.copy()
            for condition in ordered(conditions):
                near = np.flatnonzero(after < last[open_])
                after[near] = self.next_on(condition, ids[open_[near]], after[near])
            after[after >= last[open_]] = np.inf
            start[open_] = after
            # A pass that moves nothing has found all conditions true at one time.
            open_ = open_[(after != before) & np.isfinite(after)]
        return start


def ordered(conditions: Conditions) -> tuple[Condition, ...]:
    """Return conditions in the order in which they are asked; plugged is the rarest by day and comes first.

    Raises
    ------
    UnknownNameError
        If a name is none of plugged, unmetered, idle.
    """
    for name in sorted(conditions.difference(CONDITIONS)):
        raise UnknownNameError("condition", name, list(CONDITIONS))
    return tuple(condition for condition in CONDITIONS if condition in conditions)


def in_blocks(
    function: Callable[[Ids, Times], NDArray[Any]], ids: Ids, t_s: Times | float, dtype: type[Any]
) -> NDArray[Any]:
    """Return `function(ids, t_s)` evaluated block by block, shaped like `ids`."""
    flat = np.atleast_1d(np.asarray(ids))
    times = np.broadcast_to(np.asarray(t_s, dtype=np.float64), flat.shape)
    result = np.empty(flat.shape, dtype=dtype)
    for first in range(0, len(flat), BLOCK):
        part = slice(first, first + BLOCK)
        result[part] = function(flat[part], times[part])
    return result
