"""pydantic's errors -> problems with a place in the file, what was got, what is expected, and a remedy."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

from fedlite.errors import MOST_PROBLEMS, Problem, nearest, quoted
from fedlite.scenario.base import Section, tell_unknown
from fedlite.scenario.migrations import now_called
from fedlite.scenario.quantities import Means
from fedlite.scenario.strict_yaml import Document, KeyPath, Place, dotted, scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Told = tuple[str, str]
"""What is wrong, and the remedy."""


def of(error: ValidationError, document: Document, schema: type[Section]) -> list[tuple[KeyPath, Problem]]:
    """Return each of the first `MOST_PROBLEMS` mistakes with the path of the value to blame."""
    found = []
    for detail in error.errors(include_url=False)[:MOST_PROBLEMS]:
        if detail["type"] == "laws":
            found += [(keys[0], problem) for problem, keys in of_laws(detail, document)]
            continue
        path, named = _path(detail, document)
        key_place = detail["type"] in {"extra_forbidden", "missing"} or _OF_KEY in detail["loc"]
        message, remedy = _explained(detail, schema, path)
        place = _place(path if key_place or path in document.values else named, document, of_key=key_place)
        found.append((path, Problem(place.path, place.line, place.column, dotted(named), message, remedy)))
    return found


_OF_KEY: Final = "[key]"
"""What pydantic puts at the end of a location if the key of a mapping is wrong, not its value."""


def of_laws(detail: ErrorDetails, document: Document) -> Iterator[tuple[Problem, list[KeyPath]]]:
    """Yield each broken law with the keys it rests on, its own first."""
    for violation in detail["ctx"]["violations"]:
        keys = [as_path(key) for key in (violation.key, *violation.rests_on)]
        place = _place(keys[0], document, of_key=False)
        yield Problem(place.path, place.line, place.column, violation.key, violation.message, violation.remedy), keys


def as_path(key: str) -> KeyPath:
    """Return the path of a dotted key; parts that are numbers are positions in a list."""
    return tuple(int(part) if part.isdigit() else part for part in key.split("."))


def _path(detail: ErrorDetails, document: Document) -> tuple[KeyPath, KeyPath]:
    """Return the path that exists in the file, and the path to name.

    pydantic puts tags of unions and names of validators between the keys; whatever the file does not have is skipped,
    save the last part where it is the key that is missing.
    """
    path: KeyPath = ()
    for part in detail["loc"]:
        if (*path, part) in document.values:
            path = (*path, part)
    named = path
    if detail["type"] == "missing" and isinstance(detail["loc"][-1], str):
        named = (*path, detail["loc"][-1])
    elif detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        named = path
        inner = str(detail["ctx"]["discriminator"]).strip("'")
        if (*path, inner) in document.values:
            path = named = (*path, inner)
    elif detail["type"] == "mistake" and (*path, detail["ctx"]["inside"]) in document.values:
        path = named = (*path, detail["ctx"]["inside"])
    return path, named


def _place(path: KeyPath, document: Document, *, of_key: bool) -> Place:
    """Return the place of a value (or of its key); of the nearest part of its path that is written, if it is not."""
    while path:
        table = document.keys if of_key and path in document.keys else document.values
        if path in table:
            return table[path]
        path = path[:-1]
        of_key = True
    return Place(document.path, 1, 1)


def _explained(detail: ErrorDetails, schema: type[Section], path: KeyPath) -> Told:
    kind, got = detail["type"], detail["input"]
    if kind == "mistake":
        return str(detail["ctx"]["message"]), str(detail["ctx"]["remedy"])
    if kind == "unknown":
        return tell_unknown(**detail["ctx"])
    if kind == "extra_forbidden":
        return _tell_unknown_key(path, _keys_at(schema, detail["loc"][:-1]))
    if kind == "missing" and isinstance(detail["loc"][-1], int):
        return f"got a list of {detail['loc'][-1]}, expected more of them", "add the next one"
    if kind == "missing":
        return f"got nothing, expected {_meaning(schema, detail['loc'])}", f"add '{detail['loc'][-1]}: ...'"
    if kind == "union_tag_not_found":
        inner = str(detail["ctx"]["discriminator"]).strip("'")
        inner = "name" if "(" in inner else inner
        return f"got {_show(got)} without the key {inner!r}", f"add '{inner}: ...'"
    if kind in {"literal_error", "union_tag_invalid"}:
        return _tell_choice(detail)
    return _tell_type(kind, got) if kind in _WANTED else _tell_bound(detail)


def _tell_type(kind: str, got: Any) -> Told:
    if _WANTED[kind] == "a whole number" and isinstance(got, float) and got.is_integer():
        told = f"got {got!r}, expected a whole number in plain digits, without a point or an exponent"
        return told, f"write '{int(got)}'" if abs(got) < _EXACT else "choose a smaller number"
    message = f"got {_show(got)}, expected {_WANTED[kind]}"
    if kind == "bool_type" and str(got).lower() in _YAML_1_1:
        return message, f"write '{_YAML_1_1[str(got).lower()]}'"
    quoted = isinstance(got, str) and not isinstance(scalar(got), str)
    return message, "write it without quotes" if quoted else f"write {_WANTED[kind]}"


def _tell_bound(detail: ErrorDetails) -> Told:
    got = _show(detail["input"])
    if detail["type"] not in _BOUNDS:
        return f"got {got}; {detail['msg'].lower()}", "see the scenario reference"
    words, name = _BOUNDS[detail["type"]]
    remedy = _REMEDIES.get(detail["type"], "choose a value in this range")
    return f"got {got}, expected {words.format(detail['ctx'][name])}", remedy


_WANTED: Final[dict[str, str]] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
    "dict_type": "a section of keys",
    "int_parsing_size": "a smaller whole number",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-' only",
}
_EXACT: Final = 2.0**53
"""From here on a float says no longer which whole number was meant."""
_YAML_1_1: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}
"""Words that older YAML took for truth values."""
_BOUNDS: Final[dict[str, tuple[str, str]]] = {
    "greater_than": ("more than {}", "gt"),
    "greater_than_equal": ("{} or more", "ge"),
    "less_than": ("less than {}", "lt"),
    "less_than_equal": ("{} or less", "le"),
    "too_long": ("at most {} of them", "max_length"),
    "too_short": ("at least {} of them", "min_length"),
}
_REMEDIES: Final = {"too_long": "leave some out", "too_short": "add more"}


def _tell_unknown_key(path: KeyPath, known: list[str]) -> Told:
    key = str(path[-1])
    if (new := now_called(path)) is not None:
        told = f"got the key of an earlier schema, expected {new!r}, as it is called now"
        return told, f"write '{new}', or let 'fedlite migrate FILE' do it"
    guess = nearest(key, known)
    remedy = f"write '{guess}'" if guess else "remove it"
    return f"got an unknown key, expected one of {', '.join(known) or '(no key at all)'}", remedy


def _tell_choice(detail: ErrorDetails) -> Told:
    context = detail["ctx"]
    listed = str(context.get("expected", context.get("expected_tags", "")))
    choices = [choice.strip().strip("'") for choice in listed.replace(" or ", ", ").split(",")]
    got = context.get("tag", detail["input"])
    guess = nearest(got, choices) if isinstance(got, str) else None
    remedy = f"write '{guess}'" if guess else "write one of these"
    return f"got {_show(got)}, expected one of {', '.join(choices)}", remedy


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return "a section of keys"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else quoted(value)


def _keys_at(schema: type[Section], loc: tuple[str | int, ...]) -> list[str]:
    """Return the keys that the section at a location knows."""
    return list(dict.fromkeys(key for section in _candidates(schema, loc) for key in keys_of(section)))


def keys_of(section: type[Section]) -> list[str]:
    """Return the keys of a section as they are written in a file."""
    return [field.alias or name for name, field in section.model_fields.items()]


def _inside(section: type[Section], key: str | int) -> Iterator[type[Section]]:
    for name, field in section.model_fields.items():
        if key in (field.alias, name):
            yield from sections_of(field.annotation)


def sections_of(annotation: Any) -> Iterator[type[Section]]:
    """Yield every section class inside a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif get_origin(annotation) is Annotated:
        yield from sections_of(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, types.UnionType, tuple, list}:
        for inner in get_args(annotation):
            yield from sections_of(inner)


def _tags(section: type[Section]) -> tuple[Any, ...]:
    """Return what the section is called in a union: the values its kind, name or mechanism may have, or its class."""
    tags: list[Any] = [section.__name__]
    for field in section.model_fields.values():
        if get_origin(field.annotation) is Literal:
            tags += get_args(field.annotation)
    return tuple(tags)


def _meaning(schema: type[Section], loc: tuple[str | int, ...]) -> str:
    """Return what belongs at a key that is missing."""
    for section in _candidates(schema, loc[:-1]):
        for name, field in section.model_fields.items():
            if loc[-1] in (field.alias, name):
                meant = next((item.text for item in field.metadata if isinstance(item, Means)), None)
                return meant or (field.description or "a value").rstrip(".").lower()
    return "a value"


def _candidates(schema: type[Section], loc: tuple[str | int, ...]) -> list[type[Section]]:
    candidates = [schema]
    for part in loc:
        inner = [found for section in candidates for found in _inside(section, part)]
        candidates = inner or [section for section in candidates if part in _tags(section)] or candidates
    return candidates
