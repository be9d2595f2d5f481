"""The `auto` plan: the mildest of some candidates whose demands a device class can meet, and why no milder one.

Before a run nothing is known of what a plan costs in accuracy. Mildness is therefore a total order that is told: by
width, then by delivery, then by wire, each from its mildest value on. A codec costs a little noise in each update,
which later ones make up for, a delivery costs some at the end, and a removed channel costs capacity throughout:

    width 1      as trained    told codecs -> int8 -> int4 -> top 10 %
                 static int8   told codecs -> int8 -> int4 -> top 10 %
    width 0.75   as trained    ...
    ...
    width 0.125  static int8   told codecs -> int8 -> int4 -> top 10 %

Deliveries are candidates only where there is a limit on what is shipped, since they change nothing else. Sparsity and
bits in training are none: masks and simulated quantisation make training no faster and no smaller
(`compression.constraint`), so they cannot make a plan fit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compression.structure.width import Width
from fedlite.planning.budgets import exceeded
from fedlite.units import show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fedlite.compression.part import Part
    from fedlite.compression.plan import Plan
    from fedlite.devices.cost import Cost
    from fedlite.planning.budgets import Excess

WIDTHS: Final = (1.0, 0.75, 0.5, 0.25, 0.125)
"""Shares of the channels, mildest first (HeteroFL halves; three quarters is added because it often suffices)."""

DELIVERIES: Final = ("static-int8",)
"""Techniques by which a trained model is shipped smaller, after shipping it as it was trained."""

Wire = tuple[tuple[str, ...], tuple[str, ...]]
"""Codec up, codec down."""

WIRES: Final[tuple[Wire, ...]] = (
    (("int8", "zstd"), ("fp16",)),
    (("int4:64", "zstd"), ("fp16", "zstd")),
    (("topk:0.1", "int8", "zstd"), ("fp16", "zstd")),
)
"""Codecs after the told ones, mildest first: by their error on one update (docs/concepts/compression.md)."""


@dataclass(frozen=True)
class Shipment:
    """What the shipped model asks of a device: expected values."""

    stored_bytes: float
    latency_s: float
    """Of one inference, as are the two that follow."""
    inference_j: float
    inference_memory_bytes: float


@dataclass(frozen=True)
class Demand:
    """What one job under a plan asks of a device: expected values, not the ends of their bands."""

    cost: Cost
    """`time_s` is the whole job (downlink, training, uplink), `energy_j` what it adds to the idle draw."""
    train_s: float
    storage_bytes: float
    metered_bytes: float = 0.0
    """Both ways, where the link is metered."""
    shipment: Shipment | None = None
    """None where no limit is about it."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """What no number tells: that the link can never carry it ("link"), that it cannot be shipped ("delivery")."""

    @property
    def takes(self) -> dict[str, float]:
        """Each quantity that there may be a limit to, by the name of the limit."""
        cost = self.cost
        return {
            "memory_bytes": float(cost.peak_bytes),
            "storage_bytes": self.storage_bytes,
            "train_s": self.train_s,
            "time_s": float(cost.time_s),
            "energy_j": float(cost.energy_j),
            "up_bytes": float(cost.up_bytes),
            "down_bytes": float(cost.down_bytes),
            "metered_bytes": self.metered_bytes,
            **(asdict(self.shipment) if self.shipment else {}),
        }


@dataclass(frozen=True)
class Limits:
    """What a device may give to one job, and to one inference; infinite where nothing is said."""

    memory_bytes: float = math.inf
    storage_bytes: float = math.inf
    train_s: float = math.inf
    """Processor time per round."""
    time_s: float = math.inf
    """Deadline of a round."""
    energy_j: float = math.inf
    """Energy per day: at least one job a day must fit."""
    up_bytes: float = math.inf
    down_bytes: float = math.inf
    metered_bytes: float = math.inf
    """Per month: at least one job a month must fit."""
    stored_bytes: float = math.inf
    """Of the shipped file."""
    latency_s: float = math.inf
    inference_j: float = math.inf
    inference_memory_bytes: float = math.inf

    @property
    def of_shipment(self) -> bool:
        """Whether one of them is about what is shipped."""
        return any(math.isfinite(getattr(self, one.name)) for one in fields(Shipment))


_SAID: Final = {
    "memory_bytes": ("memory", "bytes", "training takes {} of memory, a job may have {}"),
    "storage_bytes": ("storage", "bytes", "model and data take {}, {} is free"),
    "train_s": ("processor", "time", "a round's training takes {}, a job may compute for {}"),
    "time_s": ("deadline", "time", "a round takes {}, its deadline is {}"),
    "energy_j": ("energy", "energy", "a job takes {}, a day allows {}"),
    "up_bytes": ("up", "bytes", "an update may be {}, its limit is {}"),
    "down_bytes": ("down", "bytes", "the model that comes down is {}, its limit is {}"),
    "metered_bytes": ("metered", "bytes", "a job moves {} over a metered link, a month allows {}"),
    "stored_bytes": ("stored", "bytes", "what is shipped is {}, its limit is {}"),
    "latency_s": ("latency", "time", "an inference takes {}, its limit is {}"),
    "inference_j": ("inference energy", "energy", "an inference takes {}, its limit is {}"),
    "inference_memory_bytes": ("inference memory", "bytes", "an inference takes {} of memory, its limit is {}"),
}
"""Name of a limit -> the word for it, its dimension, and the sentence with what is needed and what there is."""


@dataclass(frozen=True)
class Obstacle:
    """One limit that stands in the way of a plan.

    Attributes
    ----------
    sentence : str
        Without a capital and a full stop.
    dimension : str
        Of the numbers; "" where there are none.
    excess : Excess or None
        None where no number tells by how much.
    """

    sentence: str
    dimension: str = ""
    excess: Excess | None = None


@dataclass(frozen=True)
class Rejected:
    """A plan that was not chosen, and what stands in its way, by the word for each limit."""

    plan: Plan
    obstacles: Mapping[str, Obstacle]

    @property
    def record(self) -> dict[str, Any]:
        """As JSON values."""
        over = {
            limit: {
                "why": one.sentence,
                **({"dimension": one.dimension, **one.excess.record} if one.excess else {}),
            }
            for limit, one in self.obstacles.items()
        }
        return {"plan": self.plan.name, "over": over}


@dataclass(frozen=True)
class Choice:
    """The plan that was chosen, or the last that was tried.

    Attributes
    ----------
    plan : Plan
    fits : bool
        False if no candidate fits; the device class is then left out.
    reason : str
        One sentence: which limit ruled the milder plans out, or all of them.
    rejected : tuple of Rejected
        The milder plans, mildest first; all of them if none fits.
    """

    plan: Plan
    fits: bool
    reason: str
    rejected: tuple[Rejected, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """As JSON values."""
        chosen = self.plan.name if self.fits else None
        return {"chosen": chosen, "reason": self.reason, "rejected": [one.record for one in self.rejected]}


def ladder(
    start: Plan,
    *,
    widths: Sequence[float] = WIDTHS,
    deliveries: Sequence[tuple[Part, ...]] = (),
    wires: Sequence[Wire] = WIRES,
) -> list[Plan]:
    """Return the plans to try, mildest first: see the module.

    Parameters
    ----------
    start : Plan
        The first rung: full width with the codecs that were told.
    widths : sequence of float
        1 alone for a model that cannot be sliced.
    deliveries : sequence of tuples of Delivery
        After what `start` delivers.
    wires : sequence of (uplink, downlink)
        Empty where the told codecs must stay.
    """
    ships = dict.fromkeys([start.deliveries, *deliveries])
    codecs = dict.fromkeys([(start.up, start.down), *wires])
    return [
        replace(
            start,
            name=_name(width, () if shipped == start.deliveries else shipped, () if uplink == start.up else uplink),
            structure=start.structure if width == 1 else Width(width),
            deliveries=shipped,
            up=uplink,
            down=downlink,
            # What a stage keeps of the codec's error was decided for the codec that was told.
            stages=start.stages if uplink == start.up else _without_feedback(start.stages),
        )
        for width, shipped, (uplink, downlink) in product(widths, ships, codecs)
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
    rejected: list[Rejected] = []
    for rung in rungs:
        found = obstacles(demand(rung), limits)
        if not found:
            return Choice(rung, True, _because(rung, rejected), tuple(rejected))
        rejected.append(Rejected(rung, found))
    if not rejected:
        raise ValueError("no rung to choose from")
    last = rejected[-1]
    told = " and ".join(one.sentence for one in last.obstacles.values())
    return Choice(last.plan, False, f"no plan fits: even {_with(last.plan)} {told}", tuple(rejected))


def obstacles(demand: Demand, limits: Limits) -> dict[str, Obstacle]:
    """Return what stands in the way of a job, by the word for each limit; empty if nothing does."""
    found = {}
    for name, excess in exceeded(limits, demand.takes).items():
        limit, dimension, sentence = _SAID[name]
        said = sentence.format(show(excess.takes, dimension), show(excess.most, dimension))
        found[limit] = Obstacle(said, dimension, excess)
    return found | {limit: Obstacle(problem.rstrip(".")) for limit, problem in demand.problems.items()}


def _name(width: float, shipped: tuple[Part, ...], codec: tuple[str, ...]) -> str:
    parts = [f"width {width:g}"] if width < 1 else []
    parts += [part.label for part in shipped]
    parts += ["+".join(codec)] if codec else []
    return f"{_AUTO}{', '.join(parts) or _FULL}"


_AUTO: Final = "auto: "
_FULL: Final = "full"


def _because(rung: Plan, rejected: Sequence[Rejected]) -> str:
    plain = rung.name.removeprefix(_AUTO)
    if not rejected:
        return "The full plan fits." if plain == _FULL else f"{_capital(plain)} is the mildest plan, and fits."
    tried: dict[str, str] = {}
    for one in rejected:
        for limit, obstacle in one.obstacles.items():
            # The last rung that a limit stopped is the nearest to the choice; it replaces and follows earlier ones.
            tried.pop(limit, None)
            tried[limit] = f"{_with(one.plan)} {obstacle.sentence}"
    return f"{_capital(plain)} is the mildest plan that fits: {'; '.join(reversed(tried.values()))}."


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _with(rung: Plan) -> str:
    plain = rung.name.removeprefix(_AUTO)
    return "with the full plan" if plain == _FULL else f"with {plain}"
