"""What a broken law says: the key to point at, what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
