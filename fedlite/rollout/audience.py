"""Who can be reached at all, and when a device that may have the new model asks for it.

Everything is drawn by hashing (device, replication): who opted out, who leaves when, in which order devices are let in,
and how long each takes until it hears of its update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.rng import uniform
from fedlite.units import MONTH_S

if TYPE_CHECKING:
    from fedlite.fleet.state import Fleet

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


_SHORTEST, _LONGEST, _GRID = 1e-5, 60.0, 8_000
"""Of the times between which a delay is interpolated: in the shortest and the longest mean, and how many."""


@dataclass(frozen=True)
class Adoption:
    """How long owners take once they are let in: F(t) = sum of share (1 - exp(-t / mean)), and some never do.

    The form of the curves in the literature of app updates. Fitted shares may add up to a little more than one: F ends
    at one.
    """

    shares: tuple[float, ...]
    means_s: tuple[float, ...]

    def delay_s(self, chance: Floats) -> Floats:
        """Return when F passes the chance of each device, uniform (n,); infinity for those that never do."""
        grid_s = np.geomspace(_SHORTEST * min(self.means_s), _LONGEST * max(self.means_s), _GRID)
        reached = sum(
            share * -np.expm1(-grid_s / mean_s) for share, mean_s in zip(self.shares, self.means_s, strict=True)
        )
        delay_s = np.interp(chance, np.append(0.0, reached), np.append(0.0, grid_s))
        return np.where(chance < min(sum(self.shares), 1.0), delay_s, np.inf)


@dataclass(frozen=True)
class Audience:
    """Who listens, and how soon.

    Attributes
    ----------
    opted_out : float
        Share of devices whose owners take no updates at all.
    by_hand : float
        Share of the others that wait for their owner, as `adoption` says; the rest ask by themselves.
    adoption : Adoption or None
        None: owners who update by hand never do.
    held_out : float
        Share of those that could be reached, kept on the old model as a control arm.
    full_storage : float
        Share of devices that have no room left.
    leave_per_month : float
        Share of the fleet that leaves in a month.
    every_s : float
        Period with which a device asks whether there is something for it; 0: it is told at once.
    slop_s : float
        What the operating system adds where a job had to wait for its conditions, at the most.
    """

    opted_out: float = 0.0
    by_hand: float = 0.0
    adoption: Adoption | None = None
    held_out: float = 0.0
    full_storage: float = 0.0
    leave_per_month: float = 0.0
    every_s: float = 0.0
    slop_s: float = 0.0


@dataclass(frozen=True)
class Members:
    """The fleet as one replication sees it. Arrays have shape (N,)."""

    opted_out: Bools
    held_out: Bools
    full: Bools
    leaves_s: Floats
    rank: Floats
    """Uniform in [0, 1): who is let in by which share. The same device stays in from step to step."""
    lag_s: Floats
    """From being let in until asking for it."""
    slop_s: Floats


def draw(audience: Audience, fleet: Fleet, seed: int, replication: int, start_s: float) -> Members:
    """Return who is who in a replication."""
    ids = fleet.ids

    def chance(purpose: str) -> Floats:
        return uniform(seed, f"rollout {purpose}", ids, replication)

    waits = chance("by hand") < audience.by_hand
    by_owner_s = np.full(len(ids), np.inf)
    if audience.adoption is not None and audience.by_hand > 0:
        by_owner_s = audience.adoption.delay_s(chance("adoption"))
    leaves_s = np.full(len(ids), np.inf)
    if audience.leave_per_month > 0:
        rate = -np.log1p(-audience.leave_per_month) / MONTH_S
        leaves_s = start_s - np.log1p(-chance("leaves")) / rate
    return Members(
        opted_out=chance("opted out") < audience.opted_out,
        held_out=chance("held out") < audience.held_out,
        full=chance("storage") < audience.full_storage,
        leaves_s=leaves_s,
        rank=chance("rank"),
        lag_s=np.where(waits, by_owner_s, 0.0) + audience.every_s * chance("poll"),
        slop_s=audience.slop_s * chance("slop"),
    )
