"""Fields of another system's document: taken one by one, so that what nobody took can be listed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fedlite.errors import InvalidFileError, Problem, quoted
from fedlite.scenario.rollout.devices import STUB
from fedlite.scenario.rollout.exchange.assumed import assumed
from fedlite.scenario.strict_yaml import Document, KeyPath, Place, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_UNKNOWN: Final = "fedlite knows no such field of this system"
NO_CONDITIONS: Final = {"unmetered": False, "jitter": "0 s"}
"""The `download` section of an import: the other systems wait neither for Wi-Fi nor for a drawn time."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Left:
    """What one side holds and the other cannot express."""

    key: str
    why: str
    place: Place | None = None

    def __str__(self) -> str:
        where = f"{self.place.path}:{self.place.line}:{self.place.column}: " if self.place and self.place.line else ""
        return f"{where}{self.key}: {self.why}"


@dataclass(frozen=True)
class Imported:
    """What a document comes to."""

    plan: dict[str, Any]
    """Keys and values of a plan file; what the document does not hold is the stub `TODO`."""
    left: list[Left]
    """What was not carried over, and why."""
    assumed: list[Left]
    """What the plan takes to be so since the document says nothing of it."""


@dataclass
class Fields:
    """A document that is read field by field.

    Parameters
    ----------
    document : Document
    reasons : mapping
        Dotted key (positions in lists left out) to why a known field is not carried over.
    """

    document: Document
    reasons: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    _taken: set[KeyPath] = field(default_factory=set)
    _notes: list[Left] = field(default_factory=list)

    def get(self, *path: str | int) -> Any:
        """Return what stands at a path, None if nothing does; it is not taken yet."""
        value = self.document.value
        for part in path:
            known = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
            if part not in known:
                return None
            value = value[part]
        return value

    def take(self, *path: str | int) -> Any:
        """Return what stands at a path, which is carried over now."""
        self._taken.add(path)
        return self.get(*path)

    def text(self, *path: str | int) -> str | None:
        """Take a text."""
        value = self.take(*path)
        if value is None or isinstance(value, str):
            return value
        self.wrong(path, f"got {quoted(value)}, expected text", "put it in quotes")
        return None

    def name(self, *path: str | int) -> str:
        """Take the name of the plan, with the characters that plans do not have in theirs replaced."""
        told = self.text(*path)
        name = _NOT_IN_NAMES.sub("-", told or "").strip("-._")
        if told and name != told:
            self.note(path, f"carried over as {name or 'imported'!r}, since names of plans are plain words")
        return name or "imported"

    def number(self, path: KeyPath, least: float, most: float, *, whole: bool = True) -> float | None:
        """Take a number within what the other system allows."""
        value = self.take(*path)
        if value is None:
            return None
        kind = "a whole number" if whole else "a number"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            self.wrong(path, f"got {quoted(value)}, expected {kind}", f"write {kind}")
        elif not least <= value <= most:
            self.wrong(path, f"got {value}, expected {kind} from {least:g} to {most:g}", "choose one in this range")
        else:
            return float(value)
        return None

    def choice(self, path: KeyPath, known: Sequence[str]) -> str | None:
        """Take one of a few words."""
        value = self.take(*path)
        if value is None or (isinstance(value, str) and value in known):
            return value
        self.wrong(path, f"got {quoted(value)}, expected one of {', '.join(known)}", "write one of these")
        return None

    def items(self, *path: str | int) -> range:
        """Return the positions of a list, none if there is no such list."""
        value = self.get(*path)
        if value is None:
            return range(0)
        if not isinstance(value, list):
            self.wrong(path, f"got {quoted(value)}, expected a list", "write a list")
            self._taken.add(path)
            return range(0)
        return range(len(value))

    def wrong(self, path: KeyPath, message: str, remedy: str) -> None:
        """Note a mistake at a path, or at the nearest part of it that is written."""
        place = self._place(path)
        self.problems.append(Problem(place.path, place.line, place.column, dotted(path), message, remedy))

    def note(self, path: KeyPath, why: str) -> None:
        """List something of a field that was not carried over, though the field was."""
        self._notes.append(Left(dotted(path), why, self._place(path)))

    def imported(self, plan: dict[str, Any]) -> Imported:
        """Return the plan with everything that was not carried over.

        Raises
        ------
        InvalidFileError
            With every mistake that was noted.
        """
        found = [*self.document.problems, *self.problems]
        if found:
            raise InvalidFileError(found)
        rest = [Left(dotted(path), self._why(path), self._place(path)) for path in self._untaken(())]
        left = sorted([*rest, *self._notes], key=_where)
        kept = {key: value for key, value in plan.items() if value not in (None, {}, [])}
        return Imported(kept, left, [Left(key, why) for key, why in assumed(kept)])

    def _place(self, path: KeyPath) -> Place:
        known = (path[:depth] for depth in range(len(path), -1, -1))
        return next(
            (self.document.values[part] for part in known if part in self.document.values),
            Place(self.document.path, 1, 1),
        )

    def _untaken(self, path: KeyPath) -> Iterator[KeyPath]:
        """Yield the topmost fields below a path of which nothing was taken."""
        value = self.get(*path)
        inner = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        for part in inner:
            here = (*path, part)
            if here in self._taken:
                continue
            known_inside = self._is_read_below(here) or any(key.startswith(f"{_words(here)}.") for key in self.reasons)
            if known_inside and self.get(*here) and isinstance(self.get(*here), dict | list):
                yield from self._untaken(here)
            else:
                yield here

    def _is_read_below(self, path: KeyPath) -> bool:
        return any(len(taken) > len(path) and taken[: len(path)] == path for taken in self._taken)

    def _why(self, path: KeyPath) -> str:
        if self._is_read_below(path):
            return "it holds nothing that can be read"
        known = (_words(path[:depth]) for depth in range(len(path), 0, -1))
        return next((self.reasons[key] for key in known if key in self.reasons), _UNKNOWN)


def _words(path: KeyPath) -> str:
    """Return a dotted key without its positions in lists."""
    return ".".join(part for part in path if isinstance(part, str))


def _where(left: Left) -> tuple[int, int, str]:
    return (left.place.line, left.place.column, left.key) if left.place else (0, 0, left.key)


def stubbed(name: str, **sections: Any) -> dict[str, Any]:
    """Return a plan mapping whose fleet and model nobody has told yet, the sections in the order of a plan."""
    return {"name": name, "description": sections.pop("description", None), "fleet": STUB, "model": STUB, **sections}


def percent(number: float) -> str:
    """Return "12.5 %" for 12.5."""
    return f"{number:.10g} %"


def hundredths(share: float) -> float:
    """Return 12.5 for 0.125, without the last bits that the division by a hundred cost."""
    return round(share * 100, 8)


def plain(number: float) -> int | float:
    """Return a number as a document holds it: whole where it is."""
    return int(number) if float(number).is_integer() else number
