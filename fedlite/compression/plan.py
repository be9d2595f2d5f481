"""The compression plan of one client job: a list of parts, each of which claims only what it can pay for.

    structure    which net the device trains            (`compression/structure`)
    constraints  what holds of its weights meanwhile    (`compression/constraint`)
    terms        what is added to the loss              (`learning/objectives/terms`)
    stages       what happens to the update before the wire: clipping, noise, error feedback (`client/stages`)
    down, up     the codecs of the two ways             (`wire`)
    delta        what a device gets that holds a version (`client/downlink`)
    deliveries   what is made of the trained model before it is shipped (`delivery`)

A plan belongs to a job: who composes a run decides which plan which device follows in which round.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import Effects, Part, PartError, from_record
from fedlite.compression.structure.base import Structure
from fedlite.compression.structure.full import FULL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Codec = tuple[str, ...]
_KINDS: Final = ("constraints", "terms", "stages", "deliveries")


@dataclass(frozen=True)
class Plan:
    """How one client job is compressed.

    Parameters
    ----------
    name : str
        What tables and reports call it.
    structure : Structure
    constraints : tuple of Constraint
        In the order in which they see the weights.
    terms : tuple of Part
        Added to the objective's losses.
    stages : tuple of Part
        In the order in which they treat the update.
    deliveries : tuple of Part
        In the order in which they treat the trained model; rounds know nothing of them.
    up, down : tuple of str
        Stages of the codecs, such as ("topk:0.1", "int8", "zstd"); `fedlite.wire.parse_codec` explains and checks them.
    delta : tuple of str
        How the difference to the version that a device holds is sent: by the stages of a codec, or ("exact",); whole
        models only if empty. `fedlite.client.downlink` explains.

    Raises
    ------
    PartError
        If the name is empty, a codec has no stage, or two parts of one kind have one name (stages: if they remember).
    """

    name: str = "full"
    structure: Structure = FULL
    constraints: tuple[Constraint, ...] = ()
    terms: tuple[Part, ...] = ()
    stages: tuple[Part, ...] = ()
    up: Codec = ("fp32",)
    down: Codec = ("fp32",)
    deliveries: tuple[Part, ...] = ()
    delta: Codec = ()

    def __post_init__(self) -> None:
        where = f"plan {self.name!r}"
        if not self.name:
            raise PartError("plan: got an empty name, expected a word for tables and reports; write for example 'half'")
        for link, codec in (("up", self.up), ("down", self.down)):
            if not isinstance(codec, tuple) or not codec:
                raise PartError(
                    f"{where}: got {link} {codec!r}, expected a tuple of stages; write for example ('fp32',)"
                )
        if self.structure.moves and (keeping := [part.name for part in self.parts if part.keeps_memory]):
            raise PartError(
                f"{where}: got {keeping[0]!r}, which a device remembers, on the structure {self.structure.name!r},"
                " whose coordinates mean something else every round, expected one of the two; leave one out"
            )
        # Two stages of one name (the plan clips, and privacy does) disturb each other in memory only.
        keeping_stages = tuple(stage for stage in self.stages if stage.keeps_memory)
        for kind, parts in (
            ("constraint", self.constraints),
            ("term", self.terms),
            ("stage", keeping_stages),
            ("delivery", self.deliveries),
        ):
            for name, times in Counter(part.name for part in parts).items():
                if times > 1:
                    raise PartError(f"{where}: got the {kind} {name!r} {times} times, expected it once; leave one out")

    def at(self, round_: int, device: int) -> Plan:
        """Return the plan as a device follows it in a round: its structure may be another one in each."""
        structure = self.structure.at(round_, device)
        return self if structure is self.structure else replace(self, structure=structure)

    @property
    def parts(self) -> Iterator[Part]:
        """Every part, in the order in which they act."""
        yield self.structure
        yield from self.constraints
        yield from self.terms
        yield from self.stages
        yield from self.deliveries

    @cached_property
    def effects(self) -> Effects:
        """What the parts change in the cost of a job, together."""
        return Effects.of(self.parts)

    @property
    def is_full(self) -> bool:
        """Whether the client trains the whole model in float32, without constraint."""
        return self.structure.is_full and not self.constraints

    @property
    def shipment(self) -> Plan:
        """The part of the plan that decides which file a device gets of a trained model."""
        return Plan(structure=self.structure, constraints=self.constraints, deliveries=self.deliveries)

    @property
    def label(self) -> str:
        """Short, of all that changes net, training and update, such as "width 0.5, 8 bits"; "full" if nothing does."""
        changing = [] if self.structure.is_full else [self.structure]
        others = (*self.constraints, *self.terms, *self.stages, *self.deliveries)
        return ", ".join(part.label for part in (*changing, *others)) or "full"

    def label_beside(self, up: Codec = ("fp32",), down: Codec = ("fp32",)) -> str:
        """Return the label with the codecs that are not those of every plan, such as "8 bits, topk:0.1+int8 up"."""
        codecs = [
            f"{'+'.join(own)} {link}"
            for link, own, common in (("up", self.up, up), ("down", self.down, down))
            if own != common
        ]
        parts = [] if codecs and self.label == "full" else [self.label]
        return ", ".join((*parts, *codecs))

    @property
    def record(self) -> dict[str, Any]:
        """The plan as JSON values; `Plan.from_record` undoes it."""
        return {
            "name": self.name,
            "structure": self.structure.record,
            **{kind: [part.record for part in getattr(self, kind)] for kind in _KINDS},
            "up": list(self.up),
            "down": list(self.down),
            "delta": list(self.delta),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Plan:
        """Return the plan that `record` described."""
        return cls(
            name=record["name"],
            structure=from_record(record["structure"], Structure),  # type: ignore[type-abstract]
            constraints=tuple(from_record(part, Constraint) for part in record["constraints"]),
            terms=tuple(from_record(part, Part) for part in record["terms"]),
            stages=tuple(from_record(part, Part) for part in record["stages"]),
            deliveries=tuple(from_record(part, Part) for part in record["deliveries"]),
            up=tuple(record["up"]),
            down=tuple(record["down"]),
            delta=tuple(record["delta"]),
        )
