"""A scenario file -> a checked `Scenario`, or every mistake in it with its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from fedlite import own_code
from fedlite.errors import MOST_PROBLEMS, InvalidFileError, Problem
from fedlite.scenario import migrations, overriding, problems
from fedlite.scenario.base import Section
from fedlite.scenario.names import references_in
from fedlite.scenario.paths import FOLDER
from fedlite.scenario.schema import FleetScenario, Scenario
from fedlite.scenario.sections import Sections
from fedlite.scenario.strict_yaml import Document, KeyPath, read, read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound=Section)


def load_scenario(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Return the scenario in a file.

    Parameters
    ----------
    path : str or Path
        A YAML file.
    overrides : mapping of str to str or plain value, optional
        Dotted key to value, such as `{"training.rounds": "3"}`; a text is read as YAML.

    Raises
    ------
    InvalidFileError
        With every mistake in the file and the overrides; `problems` lists them.
    """
    return _load(path, Scenario, overrides)


def load_fleet(path: str | Path, overrides: Mapping[str, Any] | None = None) -> FleetScenario:
    """Return a scenario that need not have a task: the fleet on which somebody's own Flower app runs."""
    return _load(path, FleetScenario, overrides)


def parse_scenario(text: str, name: str = "(text)", overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Return the scenario in a text, `name` standing for the file in messages."""
    return check(read(text, name), Scenario, Path(), overrides)


def _load(path: str | Path, schema: type[S], overrides: Mapping[str, Any] | None) -> S:
    return check(open_document(path), schema, Path(path).parent, overrides)


def open_document(path: str | Path) -> Document:
    """Return the YAML document in a file; a file that cannot be read is an `InvalidFileError` too."""
    return read_file(path)


def check(document: Document, schema: type[S], folder: Path, overrides: Mapping[str, Any] | None = None) -> S:
    """Return what a document says in terms of a schema.

    Mistakes in single keys hide those in their combination, so after the first pass what is wrong is left out and the
    rest is judged again; whatever rests on something left out is not reported.
    """
    if document.value is None and not document.problems:
        document.problems.append(Problem(document.path, 1, 1, "(file)", "got an empty file", "see `fedlite init`"))
    migrations.bring_up(document)
    if document.value is not None and overrides:
        overriding.apply(document, overrides)
    if document.value is None:
        raise InvalidFileError(document.problems)
    context = {FOLDER: str(folder)}
    modules = _find_code(document.value, folder)
    try:
        checked = schema.model_validate(document.value, context=context)
    except ValidationError as error:
        found = problems.of(error, document, schema)
        mistakes = [problem for _, problem in found]
        more = max(0, error.error_count() - MOST_PROBLEMS)
        if more:
            raise InvalidFileError(document.problems + mistakes, more) from None
        mistakes += _hidden(document, schema.partly(), context, [path for path, _ in found])
        raise InvalidFileError(list(dict.fromkeys(document.problems + mistakes))) from None
    if document.problems:
        raise InvalidFileError(document.problems)
    # Whoever reads the resolved scenario, in the directory of a run, has to find the same code.
    return checked.model_copy(update={"modules": modules}) if modules and isinstance(checked, Sections) else checked


def _find_code(value: Any, folder: Path) -> tuple[str, ...]:
    """Let code that a file names be found in its folder, and in those that it tells; return the ones that hold any."""
    told = value.get("modules") if isinstance(value, dict) else None
    given = [place for place in told if isinstance(place, str)] if isinstance(told, list) else []
    return own_code.look_in([*(folder / place for place in given), folder], references_in(value))


def _hidden(document: Document, schema: type[Section], context: dict[str, str], wrong: list[KeyPath]) -> list[Problem]:
    """Return the broken laws that the mistaken keys hid: leave out what is wrong until the rest can be judged."""
    left_out: set[KeyPath] = set()
    while not all(_outside_lists(path) in left_out for path in wrong):
        left_out |= {_outside_lists(path) for path in wrong}
        pruned = _without(document.value, (), left_out)
        if "name" in schema.model_fields and isinstance(pruned, dict):
            pruned.setdefault("name", "nameless")
        try:
            schema.model_validate(pruned, context=context)
        except ValidationError as error:
            details = error.errors(include_url=False)
            # A key that is missed because it was left out takes its whole section with it.
            blamed = [_outside_lists(path) for path, _ in problems.of(error, document, schema)]
            wrong = [path[:-1] if path in left_out else path for path in blamed]
            if all(detail["type"] == "laws" for detail in details):
                mistakes = [found for detail in details for found in problems.of_laws(detail, document)]
                return [
                    problem
                    for problem, keys in mistakes
                    if not any(_touch(key, path) for key in keys for path in left_out)
                ]
        else:
            return []
    return []


def _outside_lists(path: KeyPath) -> KeyPath:
    """A list is left out as a whole, since the items after a missing one would move up."""
    return next((path[:depth] for depth, part in enumerate(path) if isinstance(part, int)), path)


def _touch(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _without(value: Any, path: KeyPath, wrong: set[KeyPath]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, (*path, key), wrong) for key, item in value.items() if (*path, key) not in wrong}
    return value
