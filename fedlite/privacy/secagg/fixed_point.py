"""Numbers as levels that can be summed modulo a power of two, and sums of levels as numbers.

A number is clipped to [-clip, clip] and rounded to one of `2**bits - 1` levels, of which the middle one is zero: up or
down at random such that it is right on average, or always toward zero, where no vector may become longer. The sum of m
numbers is off by less than m steps; rounded at random, by a variance of at most m / 4 steps squared.

References
----------
Bonawitz et al. 2019, "Federated learning with autotuned communication-efficient secure aggregation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.privacy.secagg.errors import SecAggError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def step(clip: float, bits: int) -> float:
    """Return the distance of two levels."""
    return clip / _zero(bits)


def _zero(bits: int) -> int:
    """Return the level of zero, the middle one."""
    return int(2 ** (bits - 1)) - 1


def levels(values: NDArray[Any], clip: float, bits: int, rng: np.random.Generator | None) -> NDArray[np.uint32]:
    """Return the level of each number, from 0 to `2**bits - 2`.

    Parameters
    ----------
    values : ndarray
    clip : float
    bits : int
        2 or more.
    rng : Generator or None
        Rounds at random; without it numbers are rounded toward zero.

    Raises
    ------
    SecAggError
        If a number is none, whose level would be anything.
    """
    if not np.isfinite(values).all():
        raise SecAggError("vector: got numbers that are not finite, expected finite ones; leave the client out")
    zero = _zero(bits)
    scaled = np.clip(values.astype(np.float64) / step(clip, bits), -zero, zero)
    rounded = np.trunc(scaled) if rng is None else np.floor(scaled + rng.random(scaled.shape))
    return np.asarray(rounded + zero).astype(np.uint32)


def total(summed: NDArray[np.uint32], count: int, clip: float, bits: int) -> NDArray[np.float64]:
    """Return the sum of `count` clients' numbers, given the sum of their levels."""
    return np.asarray((summed.astype(np.float64) - count * _zero(bits)) * step(clip, bits))
