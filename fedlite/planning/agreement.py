"""How far two judges agree on the order of nets: Kendall's tau with a bootstrap interval over the nets.

References
----------
Kendall 1945, "The treatment of ties in ranking problems" (tau-b). Efron, Tibshirani 1993, "An introduction to the
bootstrap", section 13.3 (percentile interval).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_DRAWS: Final = 1000
_LEVELS: Final = (2.5, 97.5)


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b between two judges: 1 for one order, -1 for the opposite one, NaN if a judge sees no difference.

    Attributes
    ----------
    tau, low, high : float
        With the ends of the 95 % interval. With few nets in nearly one order it is too narrow: of 600 drawn samples
        (two normal judges, correlation 0.9) it holds the true value in 76 % for 5 nets, in 86 % for 6, in 97 % for 10.
    nets : int
        That both have judged.
    """

    tau: float
    low: float
    high: float
    nets: int


def agreement(first: Sequence[float], second: Sequence[float], rng: np.random.Generator) -> Agreement:
    """Return how far two judges of the same nets agree."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    places = rng.integers(len(a), size=(_DRAWS, len(a)))
    drawn = np.array([tau_b(a[rows], b[rows]) for rows in places])
    # Draws of one net alone have no order: with them tau may be anything.
    low, high = (
        float(np.percentile(np.nan_to_num(drawn, nan=edge), level))
        for edge, level in zip((-1.0, 1.0), _LEVELS, strict=True)
    )
    return Agreement(tau_b(a, b), low, high, len(a))


def tau_b(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Kendall's tau-b of two arrays (n,), from all pairs."""
    rows, columns = np.triu_indices(len(a), 1)
    one, other = np.sign(a[rows] - a[columns]), np.sign(b[rows] - b[columns])
    apart = float(np.count_nonzero(one)) * float(np.count_nonzero(other))
    return float((one * other).sum()) / apart**0.5 if apart else float("nan")
