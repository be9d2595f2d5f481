"""The share of the values to keep, as sparsifiers are told it."""

from __future__ import annotations

import math
from typing import Final

from fedlite.errors import UnitError
from fedlite.units import parse
from fedlite.wire.errors import CodecError

SMALLEST: Final = 1e-4
"""The smallest fraction accepted: one value in ten thousand."""


def fraction_of(name: str, argument: str | None) -> float:
    """Return the fraction of "topk:0.1" or "topk:10%", of which `argument` is what follows the colon.

    Raises
    ------
    CodecError
        If it is none, or not between `SMALLEST` and 1.
    """
    if argument is None:
        raise CodecError(
            f"{name}: got no fraction, expected the share of values to keep; write for example '{name}:0.1'"
        )
    try:
        fraction = parse(argument, "fraction")
    except UnitError as error:
        raise CodecError(f"{name}: {error}") from error
    if not SMALLEST <= fraction < 1:
        raise CodecError(
            f"{name}: got fraction {argument}, expected at least {SMALLEST:g} and below 1; "
            f"write for example '{name}:0.1', or leave the stage out to send every value"
        )
    return fraction


def share_of(fraction: float, count: int) -> int:
    """Return k = ceil(fraction * count)."""
    return math.ceil(round(fraction * count, 9))  # 0.1 * 30 must not become 4 through rounding noise
