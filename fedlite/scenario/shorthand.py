"""Text where a mapping could stand: `strategy: fedadam` means `strategy: {name: fedadam}`."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BeforeValidator

SHORTHANDS: Final[dict[str, str]] = {
    "availability": "kind",
    "protocol": "kind",
    "partition": "kind",
    "split": "kind",
    "model": "name",
    "strategy": "name",
    "privacy": "mechanism",
    "app": "client",
}
"""Key of a scenario -> the inner key that a plain text stands for."""


def expanding(inner: str) -> BeforeValidator:
    """Return the validator that turns text into a mapping with this one key."""

    def expand(value: Any) -> Any:
        return {inner: value} if isinstance(value, str) else value

    return BeforeValidator(expand)
