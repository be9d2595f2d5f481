"""What the figures of a page have in common is written once: equal lists and objects become references to one.

Curves of many small charts have the same points of time, and views of one figure the same axes.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

REFERENCE: Final = "="
"""The only key of an object that stands for one of the shared values; plotly has no such property."""
_LEAST: Final = 24
"""Characters of a value that is worth a reference."""


def packed(value: Any) -> dict[str, Any]:
    """Return a JSON value as `{shared, value}`, where `{"=": i}` stands for the item i of `shared`.

    Items are made of earlier ones. The same value gives the same text. `page.js` takes it apart again.
    """
    return _Packing(value).whole


class _Packing:
    def __init__(self, value: Any) -> None:
        self._seen: Counter[str] = Counter()
        self._places: dict[str, int] = {}
        self._shared: list[Any] = []
        self._count(value)
        self.whole = {"shared": self._shared, "value": self._made(value)}

    def _count(self, value: Any) -> None:
        if (text := _text(value)) is None:
            return
        self._seen[text] += 1
        # What is within something that is repeated is written once with it.
        if self._seen[text] == 1:
            for item in value.values() if isinstance(value, dict) else value:
                self._count(item)

    def _made(self, value: Any) -> Any:
        if (text := _text(value)) is None:
            return value
        if text in self._places:
            return {REFERENCE: self._places[text]}
        if isinstance(value, dict):
            made: Any = {key: self._made(item) for key, item in value.items()}
        else:
            made = [self._made(item) for item in value]
        if self._seen[text] == 1 or len(text) < _LEAST:
            return made
        self._places[text] = len(self._shared)
        self._shared.append(made)
        return {REFERENCE: self._places[text]}


def _text(value: Any) -> str | None:
    """Return a list or an object as text, None for anything else."""
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else None
