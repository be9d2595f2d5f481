"""What heat makes of many inferences in a row: from a profile's onset on they take longer, at the same power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.devices.thermal import throttled_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


_TAIL: Final = 0.05


@dataclass(frozen=True)
class Heat:
    """How many inferences follow one another, and what each of P profiles does when it gets warm.

    Attributes
    ----------
    at_once : int
        Inferences in a row, after each such row a device is cold again.
    onset_s : ndarray, shape (P,)
        Continuous work after which a profile slows down, infinity for those of which no heat is told.
    sustained : ndarray, shape (P,)
        Its speed from then on, as a share of the full one.
    """

    at_once: int
    onset_s: Floats
    sustained: Floats

    def slowdown(self, latency_s: Floats) -> Floats:
        """Return the mean time of an inference as a multiple of the cold device's (P,), that is also of its energy."""
        work_s = self.at_once * latency_s
        slow_s = throttled_s(work_s, self.onset_s, self.sustained)
        return np.divide(slow_s, work_s, out=np.ones_like(slow_s), where=np.isfinite(work_s) & (work_s > 0))

    def hot(self, latency_s: Floats) -> Floats:
        """Return the share (P,) of the inferences that a device makes when it has slowed down."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.nan_to_num(1.0 - np.clip(self.onset_s / (self.at_once * latency_s), 0.0, 1.0)))

    def percentiles(self, latency_s: Floats, devices: NDArray[np.int64], percents: tuple[float, ...]) -> Floats:
        """Return percentiles over all inferences of so many devices of each profile, seconds; values that occur."""
        hot = self.hot(latency_s)
        values = np.concatenate([latency_s, latency_s / self.sustained])
        weights = np.concatenate([devices * (1.0 - hot), devices * hot])
        there = np.flatnonzero(weights > 0)
        order = there[np.argsort(values[there], kind="stable")]
        below = np.cumsum(weights[order])
        wanted = np.array(percents) / 100.0 * below[-1]
        return np.asarray(values[order][np.searchsorted(below, wanted - 1e-9 * below[-1])])

    def longest(self, latency_s: Floats) -> Floats:
        """Return how long the slowest inference of a row takes on each profile (P,), seconds."""
        return np.where(self.hot(latency_s) > 0, latency_s / self.sustained, latency_s)

    def p95(self, latency_s: Floats) -> Floats:
        """Return the 95th percentile of the inference times of one device of each profile (P,), seconds."""
        return np.where(self.hot(latency_s) > _TAIL, latency_s / self.sustained, latency_s)
