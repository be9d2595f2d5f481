"""Plans side by side: how fast, how dangerous, how dear; which of them no other one beats in everything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Summary = dict[str, Any]


@dataclass(frozen=True)
class Standing:
    """What a plan is judged by. Medians and 95th percentiles are over replications; infinity is never.

    Attributes
    ----------
    name : str
    time_s : float
        Until 95 % of the devices that can be let in have the new model, the median in the slowest good world.
    blast_devices : float
        Devices that a bad model reaches, the 95th percentile in the worst of the bad worlds.
    detect, false_abort : float
        Least chance of a stop in a bad world (1 without one), and largest in a good one (0 without one).
    delivery_j, metered_bytes : float
        Medians in the dearest world: what downloads take from batteries and chargers, and paid bytes.
    """

    name: str
    time_s: float
    blast_devices: float
    detect: float
    false_abort: float
    delivery_j: float
    metered_bytes: float

    @property
    def costs(self) -> tuple[float, ...]:
        """What should be low."""
        return (self.time_s, self.blast_devices, self.delivery_j, self.metered_bytes)


def standing(summary: Summary, name: str = "") -> Standing:
    """Return what a plan's rehearsals say of it."""
    worlds, slow, worst = summary["worlds"], slowest(summary), most_dangerous(summary)
    return Standing(
        name or summary["name"],
        math.inf if slow is None else _number(slow["time_to_95_of_reachable_s"]["p50"]),
        0.0 if worst is None else _number(worst["blast_radius"]["devices"]["p95"]),
        min((world["p_detect"] for world in worlds if world["p_detect"] is not None), default=1.0),
        max((world["p_false_abort"] for world in worlds if world["p_detect"] is None), default=0.0),
        max(_number(world["energy"]["delivery_j"]["p50"]) for world in worlds),
        max(_number(world["bytes"]["metered"]["p50"]) for world in worlds),
    )


def slowest(summary: Summary) -> Summary | None:
    """Return the good world whose time counts; None without a good world."""
    good = [world for world in summary["worlds"] if world["p_detect"] is None]
    return max(good, key=lambda world: _number(world["time_to_95_of_reachable_s"]["p50"]), default=None)


def most_dangerous(summary: Summary) -> Summary | None:
    """Return the bad world whose blast radius counts; None without a bad world."""
    bad = [world for world in summary["worlds"] if world["p_detect"] is not None]
    return max(bad, key=lambda world: _number(world["blast_radius"]["devices"]["p95"]), default=None)


def ranked(standings: Sequence[Standing]) -> list[tuple[Standing, bool]]:
    """Return plans by time, then by whom a bad model reaches, then by cost; with each whether no other one beats it."""
    ordered = sorted(standings, key=lambda one: (*one.costs, one.name))
    return [(one, not any(_beats(other, one) for other in standings)) for one in ordered]


def _beats(other: Standing, one: Standing) -> bool:
    """Tell whether another plan is at least as good in everything, and better in something."""
    pairs = list(zip(other.costs, one.costs, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _number(value: float | None) -> float:
    return math.inf if value is None else value
