"""Typed values out of a YAML document, every mistake noted with its place: the reader of profiles and mixes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from fedlite import units
from fedlite.devices.profile import Kind, Sourced
from fedlite.errors import InvalidFileError, Problem, UnitError, quoted
from fedlite.scenario.strict_yaml import Document, KeyPath, dotted, read_file

E = TypeVar("E", bound=StrEnum)

README: Final = "see device_profiles/README.md"
_NUMBER_KEYS: Final = ("value", "unit", "source", "kind")
_EXAMPLE: Final = '{value: 1.6, unit: W, source: "where it was measured", kind: measured}'


@dataclass
class FieldReader:
    """Takes typed values out of a document, noting what is wrong; wrong values are replaced so that reading goes on."""

    document: Document
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the reader of a file.

        Raises
        ------
        InvalidFileError
            If the file cannot be read.
        """
        return cls(read_file(path))

    def wrong(self, path: KeyPath, message: str, remedy: str, *, at_key: bool = False) -> None:
        """Note a mistake at a value (or its key), or at the nearest place above it that is written in the file."""
        places = self.document.keys if at_key and path in self.document.keys else self.document.values
        known = next((places[path[:n]] for n in range(len(path), -1, -1) if path[:n] in places), None)
        line, column = (known.line, known.column) if known else (1, 1)
        self.problems.append(Problem(self.document.path, line, column, dotted(path), message, remedy))

    def finish(self) -> None:
        """Raise every mistake found, if there is one."""
        found = [*self.document.problems, *self.problems]
        if found:
            raise InvalidFileError(found)

    def mapping(
        self,
        path: KeyPath,
        *,
        required: tuple[str, ...],
        optional: tuple[str, ...] = (),
        inside: Any = None,
    ) -> dict[str, Any]:
        """Return the mapping at `path`, with unknown and missing keys noted."""
        step = path[-1] if path else None
        if path and isinstance(inside, dict) and step not in inside:
            return {}  # already noted as missing
        value = self.document.value if not path else inside[step]
        if not isinstance(value, dict):
            if path or not self.document.problems:
                self.wrong(path, f"got {short(value)}, expected {', '.join(required)}", README)
            return {}
        for name in value:
            if name not in (*required, *optional):
                self.wrong(
                    (*path, name),
                    "got an unknown key",
                    f"expected one of {', '.join((*required, *optional))}",
                    at_key=True,
                )
        for name in required:
            if name not in value:
                self.wrong((*path, name), "got nothing, expected a value", f"add '{name}:' here")
        return value

    def number(self, path: KeyPath, value: Any, dimension: str) -> Sourced:
        """Return a sourced number in SI units, positive and finite."""
        nothing = Sourced(math.nan, "", Kind.ASSUMED, "")
        if value is None and path not in self.document.values:
            return nothing
        if not isinstance(value, dict):
            self.wrong(path, f"got {short(value)}, expected a number with its source", f"write {_EXAMPLE}")
            return nothing
        before = len(self.problems)
        for name in value:
            if name not in _NUMBER_KEYS:
                self.wrong(
                    (*path, name), "got an unknown key", f"expected one of {', '.join(_NUMBER_KEYS)}", at_key=True
                )
        for name in _NUMBER_KEYS:
            if name not in value:
                self.wrong((*path, name), "got nothing, expected a value", f"write {_EXAMPLE}")
        if len(self.problems) > before:
            return nothing
        source, kind = self.text((*path, "source"), value["source"]), self.choice((*path, "kind"), value["kind"], Kind)
        amount, unit = value["value"], value["unit"]
        if (
            isinstance(amount, bool)
            or not isinstance(amount, int | float)
            or not (math.isfinite(amount) and amount > 0)
        ):
            self.wrong((*path, "value"), f"got {short(amount)}, expected a number above 0", f"write {_EXAMPLE}")
            return nothing
        if unit not in units.UNITS[dimension]:
            known = ", ".join(units.UNITS[dimension])
            self.wrong((*path, "unit"), f"got {short(unit)}, expected a unit of {dimension}", f"write one of {known}")
            return nothing
        return Sourced(float(amount) * units.UNITS[dimension][unit], source, kind, f"{amount} {unit}")

    def share(self, path: KeyPath, value: Any) -> float:
        """Return a share such as "40 %" or 0.4."""
        text = str(value).strip()
        try:
            share = units.parse(text, "fraction")
        except UnitError:
            share = -1.0
        if not 0.0 < share <= 1.0:
            self.wrong(path, f"got {short(value)}, expected a share above 0", "write for example '40 %'")
            return 0.0
        return share

    def text(self, path: KeyPath, value: Any) -> str:
        """Return a text on one line."""
        if value is None and path not in self.document.values:
            return ""
        if not isinstance(value, str) or not value.strip():
            self.wrong(
                path, f"got {short(value)}, expected text", "write a few words, in quotes if they look like a number"
            )
            return ""
        return " ".join(value.split())

    def name(self, path: Path, top: dict[str, Any]) -> str:
        """Return the name, which is the file's."""
        name = self.text(("name",), top.get("name"))
        if name and name != path.stem:
            self.wrong(
                ("name",), f"got {quoted(name)}, expected {path.stem!r}, the name of the file", "rename one of the two"
            )
        return name

    def count(self, path: KeyPath, value: Any) -> int:
        """Return a whole number from 1 on."""
        if value is None and path not in self.document.values:
            return 1
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.wrong(path, f"got {short(value)}, expected a whole number from 1 on", "write for example 4")
            return 1
        return value

    def shape(self, path: KeyPath, value: Any) -> tuple[int, ...]:
        """Return an input shape written as "3x224x224"."""
        parts = str(value).split("x")
        if all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
            return tuple(int(part) for part in parts)
        if value is not None or path in self.document.values:
            self.wrong(path, f"got {short(value)}, expected channels x height x width", "write for example '3x224x224'")
        return ()

    def one_of(self, path: KeyPath, value: Any, known: list[str]) -> str:
        """Return one of the known names."""
        if isinstance(value, str) and value in known:
            return value
        if value is not None or path in self.document.values:
            self.wrong(path, f"got {short(value)}, expected one of {', '.join(known)}", "write one of them")
        return known[0]

    def choice(self, path: KeyPath, value: Any, kind: type[E]) -> E:
        """Return a member of an enumeration."""
        return kind(self.one_of(path, value, [str(member.value) for member in kind]))

    def names(self, path: KeyPath, value: Any, known: list[str], what: str) -> tuple[str, ...]:
        """Return a list of known names."""
        if value is None and path not in self.document.values:
            return ()
        if not isinstance(value, list) or not value or not all(name in known for name in value):
            self.wrong(path, f"got {short(value)}, expected a list of {what}s", f"choose from {', '.join(known)}")
            return ()
        return tuple(value)


def short(value: Any) -> str:
    """Return a value as messages quote it."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return quoted(value)
