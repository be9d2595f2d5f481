"""How far a run is, for those who watch it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Finished rounds of `rounds` (0: unknown), virtual time, the main metric's latest value or NaN, energy so far.

    With `trains` false the rounds are of queries: nothing was trained so far. `doing` says what is under way where that
    is no round: before the first one, on which backend and why.
    """

    round_: int
    rounds: int
    virtual_time_s: float
    metric: str
    value: float
    energy_j: float
    trains: bool = True
    doing: str = ""
