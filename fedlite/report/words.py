"""Numbers as people read them in a report: quantities, shares, bands, counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from fedlite.units import show

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTHING: Final = "–"
"""What is written where a number does not exist."""
_GLUE: Final = "\u00a0"
"""A space at which no line breaks, between a number and its unit."""


def number(value: Any) -> float:
    """Return a float, not-a-number if there is none (None, text, missing)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return math.nan


def quantity(value: Any, dimension: str) -> str:
    """Return `show(value, dimension)`, or a dash if there is no finite value."""
    found = number(value)
    return show(found, dimension).replace(" ", _GLUE) if math.isfinite(found) else NOTHING


def band(low: Any, high: Any, dimension: str) -> str:
    """Return an interval such as "9.8 kJ to 21 kJ"; empty if an end is missing or both are equal."""
    low, high = number(low), number(high)
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return ""
    return f"{quantity(low, dimension)} to {quantity(high, dimension)}"


def percent(value: Any, digits: int = 1) -> str:
    """Return a fraction as a percentage, or a dash."""
    found = number(value)
    return f"{100 * found:.{digits}f}{_GLUE}%" if math.isfinite(found) else NOTHING


def decimal(value: Any, digits: int = 3) -> str:
    """Return a plain number with `digits` significant digits, or a dash."""
    found = number(value)
    return f"{found:.{digits}g}" if math.isfinite(found) else NOTHING


def count(value: Any) -> str:
    """Return an integer with thin thousands groups, or a dash."""
    found = number(value)
    return f"{int(found):,}".replace(",", "\u202f") if math.isfinite(found) else NOTHING


def plural(value: Any, one: str, many: str | None = None) -> str:
    """Return "1 round", "3 rounds"."""
    found = number(value)
    return f"{count(value)} {one if found == 1 else (many or one + 's')}"


def listed(items: Sequence[str], at_most: int = 4) -> str:
    """Return "a, b and c", or "a, b and 7 more" where the list is long."""
    shown = list(items[:at_most])
    if len(items) > at_most:
        shown = [*items[: at_most - 1], f"{len(items) - at_most + 1} more"]
    if len(shown) < 2:  # noqa: PLR2004 - one item needs no "and"
        return "".join(shown)
    return ", ".join(shown[:-1]) + " and " + shown[-1]


def capitalised(text: str) -> str:
    """Return the text with its first letter raised and the rest as it was."""
    return text[:1].upper() + text[1:]
