"""Files of earlier schemas, step by step made into such of today's.

A step is a file `from_N.py` with the keys that schema N + 1 calls by another name. It is applied to the values of a
file when that is read, and to its text by `fedlite migrate`, which keeps the comments. A file that says no `schema` is
one of today's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fedlite.errors import Problem, quoted
from fedlite.scenario.migrations import from_1

if TYPE_CHECKING:
    from fedlite.scenario.migrations.renaming import KeyRename
    from fedlite.scenario.strict_yaml import Document, KeyPath, Place

STEPS: Final[dict[int, tuple[KeyRename, ...]]] = {1: from_1.RENAMED}
"""Schema of a file -> what the next one calls otherwise."""
CURRENT: Final = max(STEPS) + 1
"""The schema of today."""
KEY: Final = "schema"


@dataclass(frozen=True)
class Change:
    """One key that is called otherwise: where it stands, and both names."""

    place: Place
    old: str
    new: str


def bring_up(document: Document) -> None:
    """Make the values of a file that says an earlier schema those of today's; what cannot be is a problem of it."""
    said = document.value.get(KEY) if isinstance(document.value, dict) else None
    if said is None:
        return
    wrong = wrong_schema(document)
    if wrong is not None:
        document.problems.append(wrong)
        said = CURRENT
    _renamed(document, said)
    document.value[KEY] = CURRENT


def wrong_schema(document: Document) -> Problem | None:
    """Return what is wrong with the schema that a file says, None if nothing is or it says none."""
    said = document.value.get(KEY)
    if said is None or (isinstance(said, int) and not isinstance(said, bool) and 1 <= said <= CURRENT):
        return None
    place = document.values[(KEY,)]
    newer = isinstance(said, int) and said > CURRENT
    told = f"got {quoted(said)}, expected 1 to {CURRENT}{', for the file is of a later fedlite' if newer else ''}"
    remedy = "update fedlite, or write the file by this one's reference" if newer else f"write '{KEY}: {CURRENT}'"
    return Problem(place.path, place.line, place.column, KEY, told, remedy)


def now_called(path: KeyPath) -> str | None:
    """Return today's name of a key that an earlier schema had; None if none had it."""
    return next((each.new for step in STEPS.values() for each in step if path == (*each.section, each.old)), None)


def migrated(text: str, document: Document) -> tuple[str, list[Change]]:
    """Return the text of a file with today's keys, everything else as it was, and what was changed.

    A file that says no schema may have any of the earlier keys.
    """
    said = document.value.get(KEY) if isinstance(document.value, dict) else None
    changes = list(dict.fromkeys(_renamed(document.copy(), said if isinstance(said, int) else 1)))
    if isinstance(said, int) and said < CURRENT:
        changes.append(Change(document.values[(KEY,)], str(said), str(CURRENT)))
    lines = text.split("\n")
    for change in sorted(changes, key=lambda each: (each.place.line, each.place.column), reverse=True):
        row, at = change.place.line - 1, change.place.column - 1
        lines[row] = lines[row][:at] + lines[row][at:].replace(change.old, change.new, 1)
    return "\n".join(lines), sorted(changes, key=lambda each: (each.place.line, each.place.column))


def _renamed(document: Document, schema: int) -> list[Change]:
    """Rename the keys of a document, which is altered, and return what was changed."""
    changes: list[Change] = []
    for step in range(schema, CURRENT):
        for rename in STEPS[step]:
            for path, new in list(rename.found(document.value)):
                changes.append(Change(document.keys[path], str(path[-1]), new))
                _rename(document, path, new)
    return changes


def _rename(document: Document, path: KeyPath, new: str) -> None:
    inside: Any = document.value
    for part in path[:-1]:
        inside = inside[part]
    # The keys keep their order, and what stands where is known under the new name.
    items = [(new if key == path[-1] else key, value) for key, value in inside.items()]
    inside.clear()
    inside.update(items)
    for table in (document.keys, document.values):
        moved = {known: table.pop(known) for known in list(table) if known[: len(path)] == path}
        table.update({(*path[:-1], new, *known[len(path) :]): place for known, place in moved.items()})
