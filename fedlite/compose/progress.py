"""How far a run is, for those who watch it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Finished rounds of `rounds` (0: unknown), virtual time, latest accuracy (or NaN) and energy so far."""

    round_: int
    rounds: int
    virtual_time_s: float
    accuracy: float
    energy_j: float
