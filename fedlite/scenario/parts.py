"""Parts of a plan as a scenario names them: `error-feedback`, `{name: magnitude, sparsity: 0.9}`, `pkg.mod:Class`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from fedlite.compression.part import Part, PartError, made
from fedlite.errors import quoted
from fedlite.learning.models.layers.base import Layers
from fedlite.scenario import names, spelling
from fedlite.scenario.base import mistake
from fedlite.scenario.quantities import Means

Kind = tuple[Mapping[str, str], type[Part]]
"""The table of a kind's parts and the base class that they have."""


def _structures() -> Kind:
    from fedlite.compression.structure import STRUCTURES
    from fedlite.compression.structure.base import Structure

    return STRUCTURES, Structure


def _constraints() -> Kind:
    from fedlite.compression.constraint import CONSTRAINTS
    from fedlite.compression.constraint.base import Constraint

    return CONSTRAINTS, Constraint


def _terms() -> Kind:
    from fedlite.learning.objectives.terms import TERMS
    from fedlite.learning.objectives.terms.base import Term

    return TERMS, Term


def _stages() -> Kind:
    from fedlite.client.stages import STAGES
    from fedlite.client.stages.base import Stage

    return STAGES, Stage


def _deliveries() -> Kind:
    from fedlite.delivery import DELIVERIES
    from fedlite.delivery.base import Delivery

    return DELIVERIES, Delivery


def _layers() -> Kind:
    from fedlite.learning.models.layers import LAYERS

    return LAYERS, Layers


def _choosers() -> Kind:
    from fedlite.client.choosers import CHOOSERS
    from fedlite.client.choosers.base import Chooser

    return CHOOSERS, Chooser


def _reading(kind: Callable[[], Kind]) -> PlainValidator:
    """Return the validator that makes a part out of what a scenario says of it."""

    def read(value: Any) -> Part:
        table, base = kind()
        if isinstance(value, base):
            return value
        options = {"name": value} if isinstance(value, str) else value
        if not isinstance(options, dict) or not isinstance(options.get("name"), str):
            raise mistake(
                f"got {quoted(value)}, expected the name of a part or a mapping with its name",
                f"write one of {', '.join(sorted(table))}, or pkg.mod:Class",
            )
        rest = {key: option for key, option in options.items() if key != "name"}
        try:
            return made(options["name"], rest, table, base)
        except PartError as error:
            raise names.remade(error) from None

    return PlainValidator(read)


def _writing(kind: Callable[[], Kind]) -> PlainSerializer:
    def write(part: Part) -> dict[str, Any]:
        record = part.record
        reference = record.pop("part")
        short = {target: name for name, target in kind()[0].items()}
        return {"name": short.get(reference, reference), **record}

    return PlainSerializer(write)


def _means(what: str, kind: Callable[[], Kind]) -> Means:
    text = f"name, `{{name: ..., option: ...}}` or `{{name: pkg.mod:Class}}` of a {what}"
    return Means(text, spelling.part(lambda: kind()[0]))


StructurePart = Annotated[Part, _reading(_structures), _writing(_structures), _means("structure", _structures)]
ConstraintPart = Annotated[Part, _reading(_constraints), _writing(_constraints), _means("constraint", _constraints)]
TermPart = Annotated[Part, _reading(_terms), _writing(_terms), _means("term", _terms)]
DeliveryPart = Annotated[Part, _reading(_deliveries), _writing(_deliveries), _means("delivery", _deliveries)]
LayersPart = Annotated[Layers, _reading(_layers), _writing(_layers), _means("replacement of layers", _layers)]
ChooserPart = Annotated[Part, _reading(_choosers), _writing(_choosers), _means("chooser", _choosers)]
StagePart = Annotated[Part, _reading(_stages), _writing(_stages), _means("stage", _stages)]
