"""Techniques as a plan names them: `static-int8`, or `{name: static-int8, rows: 32}`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import PlainSerializer, PlainValidator

from fedlite.compression.part import PartError
from fedlite.errors import UnknownNameError, quoted
from fedlite.scenario import names
from fedlite.scenario.base import mistake
from fedlite.scenario.quantities import Means

if TYPE_CHECKING:
    from fedlite.learning.models.layers.base import Layers
    from fedlite.scenario.task import Task
    from fedlite.techniques.technique import Recipe


@dataclass(frozen=True)
class NamedTechnique:
    """A technique with its options, and the parts that it stands for."""

    written: tuple[tuple[str, Any], ...]
    recipe: Recipe

    @property
    def name(self) -> str:
        """The technique's."""
        return str(dict(self.written)["name"])

    def missing(self, task: Task) -> str:
        """Return what a task would have to say for the net to be the technique's, as it is written; "" if it does."""
        wanted = []
        recipe, model = self.recipe, task.model
        options = {key: value for key, value in recipe.options if model.arguments().get(key) != value}
        if recipe.model not in (None, model.name) or options:
            asked = ", ".join(f"{key}: {value}" for key, value in recipe.options)
            wanted.append(f"model: {{name: {recipe.model or model.name}{', ' * bool(asked)}{asked}}}")
        if recipe.layers is not None and _plain(recipe.layers) != _plain(task.layers):
            asked = ", ".join(f"{key}: {value}" for key, value in self.written if key != "name")
            wanted.append(f"layers: {{name: {recipe.layers.name}{', ' * bool(asked)}{asked}}}")
        return ", ".join(wanted)


def _plain(layers: Layers | None) -> tuple[str, dict[str, Any]] | None:
    """Return what layers are, whatever trained net they stand on."""
    if layers is None:
        return None
    return layers.name, {key: value for key, value in asdict(layers).items() if key not in _OF_A_FILE}


_OF_A_FILE: Final = {"file", "sha256"}


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
    if not isinstance(recipe, Recipe):
        raise mistake(
            f"got the technique {options['name']!r}, which searches for a plan, expected one of parts",
            "write 'plan: auto'"
            if options["name"] == "auto"
            else f"see what 'fedlite compress --technique {options['name']}' finds, and name that",
        )
    if recipe.lesson is not None or recipe.width != 1.0:
        raise mistake(
            f"got the technique {options['name']!r}, which begins with a net that a server has trained, expected one of"
            " parts",
            "use 'fedlite compress'",
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
