"""When a gate of counts against a known baseline trips, exactly: no dice, a recursion over the looks.

Such a gate trips at a look if at least so many of the devices seen so far failed. The number that failed and did not
trip it is carried from look to look as a distribution; devices in between add a binomial number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import binom

from fedlite.rollout.gates.evidence import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Gate

_NOTHING: Final = 1e-20
"""Chances below this are dropped; of a million looks they cannot make 1e-13."""


def limits(gate: Gate, looks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the fewest failures that trip the gate at each look, n + 1 where none do.

    Parameters
    ----------
    gate : Gate
        One that reads failures of one arm, and that trips at more failures if it trips at fewer.
    looks : array of shape (k,)
        Devices seen at each look, increasing.
    """
    low, high = np.zeros_like(looks), looks + 1
    while (open_ := low < high).any():
        middle = (low + high) // 2
        trips = gate.trips(Evidence(n=looks, total=np.minimum(middle, looks))) & (middle <= looks)
        high = np.where(open_ & trips, middle, high)
        low = np.where(open_ & ~trips, middle + 1, low)
    return high


def first_trips(limits: NDArray[np.int64], looks: NDArray[np.int64], rate: float) -> NDArray[np.float64]:
    """Return P(the gate trips at this look and at none before), shape (k,), if devices fail with this rate.

    Parameters
    ----------
    limits : array of shape (k,)
        What `limits` returns.
    looks : array of shape (k,)
        Devices seen at each look, increasing.
    rate : float
        Failure rate of every device, in [0, 1].
    """
    tripped = np.zeros(len(looks))
    still, fewest = np.ones(1), 0  # P(fewest + i failures so far, and never tripped)
    for look, more in enumerate(np.diff(looks, prepend=0)):
        chances, first = _binomial(int(more), rate)
        still, fewest = np.convolve(still, chances), fewest + first
        alive = max(int(limits[look]) - fewest, 0)
        tripped[look] = still[alive:].sum()
        kept = np.flatnonzero(still[:alive] > _NOTHING)
        if not len(kept):
            break
        still, fewest = still[kept[0] : kept[-1] + 1], fewest + int(kept[0])
    return tripped


@lru_cache(maxsize=64)
def _binomial(n: int, rate: float) -> tuple[NDArray[np.float64], int]:
    """Return the chances of a binomial number where they are not nothing, and the number that the first is of."""
    rate = rate if rate > _NOTHING else 0.0  # scipy overflows near the smallest number there is
    reach = 10.0 * np.sqrt(n * rate * (1.0 - rate))
    first, last = max(0, int(n * rate - reach - 10.0)), min(n, int(n * rate + reach + 40.0))
    return binom.pmf(np.arange(first, last + 1), n, rate), first
