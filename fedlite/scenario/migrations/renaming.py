"""A key that a later schema calls otherwise, in a scenario and wherever a study names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.strict_yaml import KeyPath


@dataclass(frozen=True)
class KeyRename:
    """In the section at a path, the key `old` is now `new`."""

    section: tuple[str, ...]
    old: str
    new: str

    def found(self, value: Any) -> Iterator[tuple[KeyPath, str]]:
        """Yield the path of each such key in a file's values, and what it is called now."""
        yield from _inside(value, self.section, (), self)
        if not isinstance(value, dict):
            return
        for at, changes in _changes(value):
            for dotted, inner in changes.items():
                parts = tuple(str(dotted).split("."))
                if parts[: len(self.section) + 1] == (*self.section, self.old):
                    yield (*at, dotted), ".".join((*self.section, self.new, *parts[len(self.section) + 1 :]))
                elif self.section[: len(parts)] == parts:
                    yield from _inside(inner, self.section[len(parts) :], (*at, dotted), self)


def _changes(study: dict[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    """Yield each mapping of dotted keys in a study, with its path."""
    if isinstance(study.get("grid"), dict):
        yield ("grid",), study["grid"]
    for position, changes in enumerate(study["list"] if isinstance(study.get("list"), list) else ()):
        if isinstance(changes, dict):
            yield ("list", position), changes


def _inside(value: Any, left: tuple[str, ...], at: KeyPath, rename: KeyRename) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, list):  # the values that a grid tries
        for position, inner in enumerate(value):
            yield from _inside(inner, left, (*at, position), rename)
    elif not isinstance(value, dict):
        return
    elif left:
        yield from _inside(value.get(left[0]), left[1:], (*at, left[0]), rename)
    elif rename.old in value and rename.new not in value:
        yield (*at, rename.old), rename.new
