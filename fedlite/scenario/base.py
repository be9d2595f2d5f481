"""What every part of a scenario shares: frozen, strict, no unknown keys, and mistakes that name a remedy."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from fedlite.errors import MOST_QUOTED, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable


class Section(BaseModel):
    """One mapping of a scenario file. Keys are the fields' aliases; attribute names carry the unit."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    @classmethod
    def partly(cls) -> type[Section]:
        """Return the section that obeys the same laws and lacks less: what is judged where a part is mistaken."""
        return cls


def _plain(value: Any) -> Any:
    simple = [value] if not isinstance(value, list | tuple) else list(value)
    if not all(isinstance(item, str | int | float) for item in simple):
        raise mistake("got an argument that is no text, number, truth value or list of them", "write a plain value")
    return tuple(simple) if isinstance(value, list | tuple) else value


Argument = Annotated[Any, BeforeValidator(_plain)]
"""A value handed on to somebody's own factory."""


def mistake(message: str, remedy: str, inside: str = "") -> PydanticCustomError:
    """Return the error that a validator raises: what was got and expected, and what to write instead.

    `inside` is the key to blame if the value is a mapping that is judged as a whole.
    """
    context = {"message": message, "remedy": remedy, "inside": inside}
    return PydanticCustomError("mistake", "{message}; {remedy}", context)


def unknown(kind: str, name: str, known: Iterable[str]) -> PydanticCustomError:
    """Return the error for a name that is in no table. The search for the nearest known ones waits for who tells it."""
    return PydanticCustomError("unknown", "got {name}", {"name": name, "kind": kind, "known": tuple(known)})


def tell_unknown(kind: str, name: str, known: Iterable[str]) -> tuple[str, str]:
    """Return what is wrong with a name that is in no table, and the nearest known name as remedy."""
    names = sorted(known)
    guess = nearest(name, names)
    shown = names
    if len(names) > _MOST_SHOWN:
        shown = difflib.get_close_matches(name[:MOST_QUOTED], names, _MOST_SHOWN // 2, 0.0)
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    return (
        f"got {quoted(name)}, expected {kind} out of {', '.join(shown) or '(none is installed)'}{more}",
        f"write '{guess}'" if guess else "write one of these",
    )


def at_most(most: int, what: str) -> BeforeValidator:
    """Return the annotation that refuses a list or mapping of more entries than anybody writes, before any is read."""

    def check(value: Any) -> Any:
        if isinstance(value, list | tuple | dict) and len(value) > most:
            raise mistake(f"got {len(value)} {what}, expected at most {most}", "write fewer")
        return value

    return BeforeValidator(check)


def at_least_one(what: str) -> BeforeValidator:
    """Return the annotation that refuses an empty list, and no list whose every entry is mistaken."""

    def check(value: Any) -> Any:
        if isinstance(value, list | tuple) and not value:
            raise mistake(f"got an empty list, expected at least one of the {what}", "add one, or remove the key")
        return value

    return BeforeValidator(check)


_MOST_SHOWN = 20
