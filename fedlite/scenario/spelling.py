"""What may be written in a file, as JSON Schema says it: editors complete from it and check by it.

pydantic knows what a value becomes; of what is written before that, `10 MB` or `plan: full`, the types here tell it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from fedlite import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Spelling = dict[str, Any]
"""A JSON Schema."""

TEXT: Final[Spelling] = {"type": "string"}
REFERENCE: Final[Spelling] = {
    "type": "string",
    "pattern": r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$",
    "description": "Code of your own, as pkg.mod:name",
}
CHAIN: Final[Spelling] = {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]}
"""Stages of a codec, joined by plus signs or listed."""
_NUMBER: Final = r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?"


def any_of(*spellings: Spelling) -> Spelling:
    """Return what may be written in several ways."""
    return {"anyOf": list(spellings)}


def quantity(dimension: str) -> Spelling:
    """Return what a number with its unit looks like; a share may be a plain number too."""
    known = "|".join(re.escape(unit) for unit in sorted(units.UNITS[dimension], key=len, reverse=True))
    text = {"type": "string", "pattern": rf"^\s*{_NUMBER}\s*({known})\s*$", "examples": [units.EXAMPLES[dimension]]}
    return any_of(text, {"type": "number"}) if dimension == "fraction" else text


def one_of(known: Iterable[str], *others: Spelling) -> Spelling:
    """Return the names of a table, and what else may stand in their place."""
    return any_of({"enum": list(known)}, *others)


def path(*suffixes: str) -> Spelling:
    """Return a path whose end tells that it is one."""
    return {"type": "string", "pattern": rf"({'|'.join(map(re.escape, suffixes))})$"}


def part(known: Callable[[], Iterable[str]]) -> Callable[[], Spelling]:
    """Return what a part of a plan looks like: its name, or a mapping of its name and its options."""

    def spelled() -> Spelling:
        name = one_of(sorted(known()), REFERENCE)
        return any_of(name, {"type": "object", "properties": {"name": name}, "required": ["name"]})

    return spelled
