"""Values set from outside the file: `training.rounds=3` on the command line, or one point of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fedlite.errors import Problem
from fedlite.scenario.problems import as_path
from fedlite.scenario.shorthand import SHORTHANDS
from fedlite.scenario.strict_yaml import Document, KeyPath, Place, read

if TYPE_CHECKING:
    from collections.abc import Mapping


MOST_PARTS: Final = 20
"""Of a dotted key: no section lies as deep."""


def apply(document: Document, overrides: Mapping[str, Any]) -> None:
    """Set each dotted key of a document; mistakes are added to its problems under the override's name."""
    for key, value in overrides.items():
        origin = Place(f"override {key}={value}")
        given = read(value, origin.path) if isinstance(value, str) else None
        if given is not None and given.problems:
            first = given.problems[0]
            document.problems.append(Problem(origin.path, 0, 0, key, first.message, first.remedy))
            continue
        if key.count(".") >= MOST_PARTS:
            told = f"got a key of {key.count('.') + 1} parts, expected at most {MOST_PARTS}"
            document.problems.append(Problem(origin.path, 0, 0, key, told, "name a key of the scenario"))
            continue
        _set(document, as_path(key), given.value if given is not None else value, origin)


def _set(document: Document, path: KeyPath, value: Any, origin: Place) -> None:
    target = document.value
    for depth, part in enumerate(path[:-1]):
        inner = _step(target, part, path[: depth + 1], path[depth + 1])
        if inner is None:
            _refuse(document, path, path[: depth + 1], origin)
            return
        for table in (document.keys, document.values):
            table.setdefault(path[: depth + 1], origin)
        target = inner
    last = path[-1]
    in_list = isinstance(target, list) and isinstance(last, int) and last < len(target)
    if in_list or (isinstance(target, dict) and isinstance(last, str)):
        target[last] = value
    else:
        _refuse(document, path, path, origin)
        return
    _forget(document, path)
    _mark(document, path, value, origin)


def _step(target: Any, part: str | int, here: KeyPath, following: str | int) -> Any:
    """Go one key down, making the section if it is absent and writing shorthand out if it is text."""
    if isinstance(target, list):
        return target[part] if isinstance(part, int) and part < len(target) else None
    if not isinstance(target, dict) or not isinstance(part, str) or (isinstance(following, int) and part not in target):
        return None
    inner = target.setdefault(part, {})
    if isinstance(inner, str) and here[-1] in SHORTHANDS:
        inner = target[part] = {SHORTHANDS[part]: inner}
    elif inner is None:
        inner = target[part] = {}
    return inner if isinstance(inner, dict | list) else None


def _refuse(document: Document, path: KeyPath, here: KeyPath, origin: Place) -> None:
    key = ".".join(str(part) for part in path)
    stuck = ".".join(str(part) for part in here)
    document.problems.append(
        Problem(origin.path, 0, 0, key, f"got a key inside {stuck!r}, which is no section here", "set it as a whole")
    )


def _forget(document: Document, path: KeyPath) -> None:
    """Whatever the file said at a key and below it is gone."""
    if path not in document.values:
        return
    for table in (document.keys, document.values):
        for known in [known for known in table if known[: len(path)] == path]:
            del table[known]


def _mark(document: Document, path: KeyPath, value: Any, origin: Place) -> None:
    """What stands at a key and below it comes from the override."""
    for table in (document.keys, document.values):
        table[path] = origin
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, inner in items:
        _mark(document, (*path, part), inner, origin)
