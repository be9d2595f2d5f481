"""Numbers as levels that can be summed modulo a power of two, and sums of levels as numbers.

A number is clipped to [-clip, clip] and rounded to one of `2**bits` levels, up or down at random such that it is right
on average. The sum of m numbers is off by less than m steps; its variance by at most m / 4 of a step squared.

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
    return 2.0 * clip / (2.0**bits - 1)


def levels(values: NDArray[Any], clip: float, bits: int, rng: np.random.Generator) -> NDArray[np.uint32]:
    """Return the level of each number, from 0 to `2**bits - 1`; `rng` rounds.

    Raises
    ------
    SecAggError
        If a number is none, whose level would be anything.
    """
    if not np.isfinite(values).all():
        raise SecAggError("vector: got numbers that are not finite, expected finite ones; leave the client out")
    scaled = (np.clip(values.astype(np.float64), -clip, clip) + clip) / step(clip, bits)
    rounded = np.floor(scaled + rng.random(scaled.shape))
    return np.asarray(np.minimum(rounded, 2.0**bits - 1)).astype(np.uint32)


def total(summed: NDArray[np.uint32], count: int, clip: float, bits: int) -> NDArray[np.float64]:
    """Return the sum of `count` clients' numbers, given the sum of their levels."""
    return np.asarray(summed.astype(np.float64) * step(clip, bits) - count * clip)
