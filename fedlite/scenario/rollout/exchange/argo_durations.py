"""Durations as Kubernetes resources write them: `10m`, `1h30m`, or a number of seconds."""

from __future__ import annotations

import re
from typing import Any, Final

from fedlite.units import UNITS

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")
_UNIT: Final = {"h": "h", "m": "min", "s": "s", "ms": "ms"}


def as_seconds(told: Any) -> float | None:
    """Return the seconds of a duration; None if it is none, or not above zero."""
    if isinstance(told, bool):
        return None
    if isinstance(told, int | float):
        return float(told) if told > 0 else None
    text = str(told)
    if text.isdigit():
        return float(text) or None
    if _WHOLE.fullmatch(text) is None:
        return None
    return sum(float(number) * UNITS["time"][_UNIT[unit]] for number, unit in _PART.findall(text)) or None


def as_text(seconds: float) -> str:
    """Return the shortest duration that says exactly so much."""
    for unit in ("h", "m", "s"):
        number = seconds / UNITS["time"][_UNIT[unit]]
        if number.is_integer():
            return f"{int(number)}{unit}"
    return f"{seconds / UNITS['time']['ms']:.10g}ms"
