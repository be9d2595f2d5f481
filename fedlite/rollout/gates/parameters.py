"""What gates and waves refuse of their parameters, in one form of words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from fedlite.errors import FedliteError, UnknownNameError, quoted

if TYPE_CHECKING:
    from collections.abc import Collection

_LARGEST: Final = 1e100
"""So that squares, and sums of a million of them, are numbers."""
_LEAST: Final = 1e-12


def check_open_share(name: str, value: float) -> None:
    """Refuse what is not more than 0 and less than 1, by so much that logarithms of it and of its ratios are numbers.

    Raises
    ------
    FedliteError
        If it is not.
    """
    if not (_is_number(value) and _LEAST <= value <= 1.0 - _LEAST):
        raise FedliteError(f"{name}: got {quoted(value)}, expected more than 0 and less than 1; write 0.05 for 5 %")


def check_share(name: str, value: float, *, or_none: bool = False) -> None:
    """Refuse what is not more than 0 (or, if told so, not 0 either) and at most 1.

    Raises
    ------
    FedliteError
        If it is not.
    """
    if not (_is_number(value) and 0.0 <= value <= 1.0 and (value > 0.0 or or_none)):
        bounds = "0 to 1" if or_none else "more than 0 and 1 at most"
        raise FedliteError(f"{name}: got {quoted(value)}, expected {bounds}; write 0.05 for 5 %")


def check_count(name: str, value: int, most: int) -> None:
    """Refuse what is not a whole number from 1 to `most`.

    Raises
    ------
    FedliteError
        If it is not.
    """
    if not (isinstance(value, int) and 1 <= value <= most):
        raise FedliteError(
            f"{name}: got {quoted(value)}, expected a whole number from 1 to {most}; choose one of these"
        )


def check_number(name: str, value: float, least: float, *, open_end: bool = False) -> None:
    """Refuse what has no square in floating point, or is below `least` (or, with an open end, not above it).

    Raises
    ------
    FedliteError
        If it is so.
    """
    fits = _is_number(value) and abs(value) <= _LARGEST and (value > least if open_end else value >= least)
    if not fits:
        bound = "" if least == -math.inf else f", more than {least:g}" if open_end else f", {least:g} or more"
        raise FedliteError(f"{name}: got {quoted(value)}, expected a number up to {_LARGEST:g}{bound}; choose one")


def check_name(kind: str, name: str, known: Collection[str]) -> None:
    """Refuse a name that is in no table.

    Raises
    ------
    UnknownNameError
        If it is in none.
    """
    if name not in known:
        raise UnknownNameError(kind, name, list(known))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
