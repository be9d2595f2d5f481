"""What a broken law says: the key to point at, what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from fedlite.scenario.sections import Sections


@dataclass(frozen=True)
class Violation:
    """One broken law: the key to point at, what is wrong, what to do, and which other keys it rests on."""

    key: str
    message: str
    remedy: str
    rests_on: tuple[str, ...] = ()


Law = Callable[["Sections"], Iterator[Violation]]


def refuse(violations: Iterable[Violation]) -> None:
    """Raise the error of a validator that holds every broken law, if there is one."""
    found = tuple(violations)
    if found:
        text = "; ".join(f"{violation.key}: {violation.message}" for violation in found)
        raise PydanticCustomError("laws", "{text}", {"text": text, "violations": found})
