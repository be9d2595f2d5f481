"""Techniques as a plan names them: `static-int8`, or `{name: static-int8, rows: 32}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from fedlite.compression.part import PartError
from fedlite.errors import UnknownNameError, quoted
from fedlite.scenario import names
from fedlite.scenario.base import mistake
from fedlite.scenario.quantities import Means

if TYPE_CHECKING:
    from fedlite.techniques.technique import Recipe


@dataclass(frozen=True)
class NamedTechnique:
    """A technique with its options, and the parts that it stands for."""

    written: tuple[tuple[str, Any], ...]
    recipe: Recipe


def _read(value: Any) -> NamedTechnique:
    if isinstance(value, NamedTechnique):
        return value
    options = {"name": value} if isinstance(value, str) else value
    if not isinstance(options, dict) or not isinstance(options.get("name"), str):
        raise mistake(
            f"got {quoted(value)}, expected the name of a technique or a mapping with its name",
            "see 'fedlite compress --list'",
        )
    from fedlite.techniques import technique
    from fedlite.techniques.technique import Recipe

    rest = {key: option for key, option in options.items() if key != "name"}
    try:
        recipe = technique(options["name"]).made(rest)
    except (PartError, UnknownNameError) as error:
        raise names.remade(error) from None
    if isinstance(recipe, Recipe) and recipe.among:
        raise mistake(
            f"got the technique {options['name']!r}, which chooses among plans, expected one of parts",
            "write 'choose' and 'among' in the rule",
        )
    if not isinstance(recipe, Recipe) or recipe != Recipe(recipe.plan):
        raise mistake(
            f"got the technique {options['name']!r}, which chooses a net or searches for a plan, expected one of parts",
            "name the net under task.model, or use 'fedlite compress'",
        )
    return NamedTechnique(tuple(sorted(options.items(), key=lambda pair: (pair[0] != "name", pair[0]))), recipe)


def _write(value: NamedTechnique) -> dict[str, Any]:
    return {key: list(option) if isinstance(option, tuple) else option for key, option in value.written}


TechniqueRecipe = Annotated[
    Any,  # a NamedTechnique, whose fields are no keys of a scenario
    PlainValidator(_read),
    PlainSerializer(_write),
    Means("name, or `{name: ..., option: ...}`, of a technique"),
]
