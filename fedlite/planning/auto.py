"""The `auto` plan: the mildest rung of a ladder whose demands a device class can meet, and why no milder one.

The ladder goes down in capacity first and in bytes second. At every width the wire is compressed step by step before
channels are given up, because a codec costs a little noise where a removed channel costs capacity:

    width 1      told codecs -> int8 -> int4 -> top 10 %
    width 0.75   told codecs -> int8 -> int4 -> top 10 %
    ...
    width 0.125  told codecs -> int8 -> int4 -> top 10 %

Sparsity and bits are on no rung: masks and simulated quantisation make training no faster and no smaller
(`compression.constraint`), so they cannot make a plan fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compression.structure.width import Width
from fedlite.units import show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fedlite.compression.part import Part
    from fedlite.compression.plan import Plan
    from fedlite.devices.cost import Cost

WIDTHS: Final = (1.0, 0.75, 0.5, 0.25, 0.125)
"""Shares of the channels, mildest first (HeteroFL halves; three quarters is added because it often suffices)."""

Wire = tuple[tuple[str, ...], tuple[str, ...]]
"""Codec up, codec down."""

WIRES: Final[tuple[Wire, ...]] = (
    (("int8", "zstd"), ("fp16",)),
    (("int4:64", "zstd"), ("fp16", "zstd")),
    (("topk:0.1", "int8", "zstd"), ("fp16", "zstd")),
)
"""Codecs after the told ones, mildest first: by their error on one update (docs/concepts/compression.md)."""


@dataclass(frozen=True)
class Demand:
    """What one job under a plan asks of a device: expected values, not the ends of their bands."""

    cost: Cost
    """`time_s` is the whole job (downlink, training, uplink), `energy_j` what it adds to the idle draw."""
    train_s: float
    storage_bytes: float
    link_problem: str = ""
    """Why the link can never carry it; "" if it can."""


@dataclass(frozen=True)
class Limits:
    """What a device may give to one job; infinite where nothing is said."""

    memory_bytes: float = math.inf
    storage_bytes: float = math.inf
    train_s: float = math.inf
    """Processor time per round."""
    time_s: float = math.inf
    """Deadline of a round."""
    energy_j: float = math.inf
    """Energy per day: at least one job a day must fit."""


@dataclass(frozen=True)
class Choice:
    """The plan that was chosen, or the last that was tried.

    Attributes
    ----------
    plan : Plan
    fits : bool
        False if no rung fits; the device class is then left out.
    reason : str
        One sentence: which limit ruled the milder plans out, or all of them.
    """

    plan: Plan
    fits: bool
    reason: str


def ladder(start: Plan, *, widths: Sequence[float] = WIDTHS, wires: Sequence[Wire] = WIRES) -> list[Plan]:
    """Return the plans to try, mildest first.

    Parameters
    ----------
    start : Plan
        The first rung: full width with the codecs that were told.
    widths : sequence of float
        1 alone for a model that cannot be sliced.
    wires : sequence of (uplink, downlink)
        Empty where the told codecs must stay.
    """
    return [
        replace(
            start,
            name=_name(width, () if uplink == start.up else uplink),
            structure=start.structure if width == 1 else Width(width),
            up=uplink,
            down=downlink,
            # What a stage keeps of the codec's error was decided for the codec that was told.
            stages=start.stages if uplink == start.up else _without_feedback(start.stages),
        )
        for width in widths
        for uplink, downlink in dict.fromkeys([(start.up, start.down), *wires])
    ]


def _without_feedback(stages: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(stage for stage in stages if not isinstance(stage, ErrorFeedback))


def choose(rungs: Sequence[Plan], demand: Callable[[Plan], Demand], limits: Limits) -> Choice:
    """Return the first rung whose demand is within the limits, with the reason.

    Parameters
    ----------
    rungs : sequence of Plan
        Mildest first, at least one.
    demand : callable
        What a job under a plan asks for.
    limits : Limits
    """
    tried: dict[str, str] = {}
    for position, rung in enumerate(rungs):
        found = obstacles(demand(rung), limits)
        if not found:
            reason = "The full plan fits." if position == 0 else _because(rung, tried)
            return Choice(rung, fits=True, reason=reason)
        for limit, sentence in found.items():
            # The last rung that a limit stopped is the nearest to the choice; it replaces and follows earlier ones.
            tried.pop(limit, None)
            tried[limit] = f"{_with(rung)} {sentence}"
        if position == len(rungs) - 1:
            told = " and ".join(found.values())
            return Choice(rung, fits=False, reason=f"no plan fits: even {_with(rung)} {told}")
    raise ValueError("no rung to choose from")


def obstacles(demand: Demand, limits: Limits) -> dict[str, str]:
    """Return what stands in the way of a job: the limit -> what is needed and what there is; empty if nothing does."""
    cost = demand.cost
    checks = (
        (
            "memory",
            "bytes",
            float(cost.peak_bytes),
            limits.memory_bytes,
            "training takes {} of memory, a job may have {}",
        ),
        ("storage", "bytes", demand.storage_bytes, limits.storage_bytes, "model and data take {}, {} is free"),
        ("processor", "time", demand.train_s, limits.train_s, "a round's training takes {}, a job may compute for {}"),
        ("deadline", "time", float(cost.time_s), limits.time_s, "a round takes {}, its deadline is {}"),
        ("energy", "energy", float(cost.energy_j), limits.energy_j, "a job takes {}, a day allows {}"),
    )
    found = {
        limit: sentence.format(show(need, dimension), show(have, dimension))
        for limit, dimension, need, have, sentence in checks
        if need > have
    }
    if demand.link_problem:
        found["link"] = demand.link_problem.rstrip(".")
    return found


def _name(width: float, codec: tuple[str, ...]) -> str:
    parts = ([f"width {width:g}"] if width < 1 else []) + (["+".join(codec)] if codec else [])
    return f"{_AUTO}{', '.join(parts) or _FULL}"


_AUTO: Final = "auto: "
_FULL: Final = "full"


def _because(rung: Plan, tried: dict[str, str]) -> str:
    plain = rung.name.removeprefix(_AUTO)
    return f"{plain[:1].upper()}{plain[1:]} is the mildest plan that fits: {'; '.join(reversed(tried.values()))}."


def _with(rung: Plan) -> str:
    plain = rung.name.removeprefix(_AUTO)
    return "with the full plan" if plain == _FULL else f"with {plain}"
