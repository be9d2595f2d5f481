"""Techniques as a plan names them: `static-int8`, or `{name: static-int8, rows: 32}`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import PlainSerializer, PlainValidator

from fedlite.compression.part import PartError
from fedlite.errors import UnknownNameError, quoted
from fedlite.scenario import names, spelling
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

    @property
    def is_codec(self) -> bool:
        """Whether it acts on the wire alone."""
        plan = self.recipe.plan
        return plan.is_full and not plan.terms and not plan.deliveries and self.recipe.layers is None

    def missing(self, task: Task) -> str:
        """Return what a task would have to say for the net to be the technique's, as it is written; "" if it does."""
        wanted = []
        recipe, model = self.recipe, task.model
        options = {key: value for key, value in recipe.options if model.arguments().get(key) != value}
        if recipe.model not in (None, model.name) or options:
            wanted.append(f"model: {_model(recipe, model.name)}")
        if recipe.options and dict(recipe.options).get("outputs") == _EVERY_EXIT and task.objective != _BY_EXITS:
            wanted.append(f"objective: {_BY_EXITS}")
        if recipe.layers is not None and _plain(recipe.layers) != _plain(task.layers):
            wanted.append(f"layers: {_layers(recipe.layers)}")
        return ", ".join(wanted)


def _model(recipe: Recipe, name: str) -> str:
    """Return a model as a task names it; another net where that one has not what the technique asks for."""
    from fedlite.learning.models import having

    asked = dict(recipe.options)
    fitting = having(next(iter(asked))) if asked else []
    chosen = recipe.model or (name if name in fitting or not fitting else fitting[0])
    inner = ", ".join(f"{key}: {value}" for key, value in asked.items())
    return f"{{name: {chosen}{f', options: {{{inner}}}' * bool(inner)}}}"


def _layers(layers: Layers) -> str:
    """Return layers as a task names them, with all that is not their own default."""
    usual = {one.name: one.default for one in fields(layers)}
    asked = {key: value for key, value in asdict(layers).items() if value != usual[key] and key not in _OF_A_FILE}
    written = {key: f"[{', '.join(value)}]" if isinstance(value, tuple) else value for key, value in asked.items()}
    return f"{{{', '.join([f'name: {layers.name}', *(f'{key}: {value}' for key, value in written.items())])}}}"


def _plain(layers: Layers | None) -> tuple[str, dict[str, Any]] | None:
    """Return what layers are, whatever trained net they stand on."""
    if layers is None:
        return None
    return layers.name, {key: value for key, value in asdict(layers).items() if key not in _OF_A_FILE}


_EVERY_EXIT: Final = "all"
_BY_EXITS: Final = "exits"
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


def _known() -> list[str]:
    from fedlite.techniques import TECHNIQUES

    return list(TECHNIQUES)


TechniqueRecipe = Annotated[
    Any,  # a NamedTechnique, whose fields are no keys of a scenario
    PlainValidator(_read),
    PlainSerializer(_write),
    Means("name, or `{name: ..., option: ...}`, of a technique", spelling.part(_known)),
]
