"""The values beyond so many standard deviations: as few as the update is peaked, and never a relative error above it.

References
----------
Sahu et al. 2021, "Rethinking gradient sparsification as total error minimization" (a hard threshold leaves the least
error over a run for the values that it sends); Aji, Heafield 2017, "Sparse Communication for Distributed Gradient
Descent" (dropping by magnitude).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.wire.errors import CodecError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.wire.segments import Floats

_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_LEAST, _GREATEST = 0.001, 100.0
_SLACK: Final = 1e-7
"""Of the threshold, so that rounding leaves out no value that is at it; values of equal magnitude may all be."""


@dataclass(frozen=True)
class Threshold:
    """Keeps the values with |u| >= t s, where s is the root mean square of all tensors together.

    Updates are centred, so s is their standard deviation. What is left out is below t s each, so that
    `||u - C(u)|| < t ||u||`, and by Chebyshev's inequality at most n / t**2 of n values are kept. Unlike the k of
    top-k, the number of values follows the update.

    Parameters
    ----------
    deviations : float
        The t.
    """

    deviations: float
    carries_update: bool = True
    carries_model: bool = False

    @classmethod
    def parse(cls, argument: str | None) -> Threshold:
        """Return the sparsifier of "threshold:2"."""
        example = "write for example 'threshold:2'"
        if argument is None:
            raise CodecError(f"threshold: got no number, expected how many standard deviations to leave out; {example}")
        deviations = float(argument) if _NUMBER.fullmatch(argument) else math.nan
        if not _LEAST <= deviations <= _GREATEST:
            raise CodecError(
                f"threshold: got {argument!r} standard deviations, expected {_LEAST:g} to {_GREATEST:g}; {example}"
            )
        return cls(float(f"{deviations:g}"))  # as it will be written

    @property
    def text(self) -> str:
        """The stage as people write it."""
        return f"threshold:{self.deviations:g}"

    def most(self, count: int) -> int:
        """Return n / t**2, or n."""
        return min(count, math.floor(count / self.deviations**2 * (1 + 4 * _SLACK)))

    def select(self, values: Floats) -> NDArray[np.int64]:
        """Return the positions of the values at or above the threshold; of an update of zeros none."""
        square = float(np.mean(np.square(values, dtype=np.float64))) if values.size else 0.0
        if not square:
            return np.zeros(0, np.int64)
        magnitude = np.abs(values)
        least = np.float64(self.deviations * math.sqrt(square) * (1 - _SLACK))
        return np.flatnonzero(magnitude >= least)
