"""A wave of a rollout as a gate sees it: its devices, its looks, and what is seen without a regression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.rollout.gates.parameters import check_count, check_number, check_share
from fedlite.rollout.gates.threshold import MOST_DEVICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Gate

MOST_LOOKS: Final = 20_000
USUAL_LOOKS: Final = 100
"""At two arms, by gates that may be looked at any time."""
MOST_REPLICATIONS: Final = 1_000_000


@dataclass(frozen=True)
class Part:
    """A class of devices among those of a wave, whose metric is normal around a mean of its own.

    Parameters
    ----------
    share : float
        Of the wave's devices.
    mean, sd : float
        Without a regression.
    slope : float
        By how much its mean moves where that of the wave moves by one.
    """

    share: float
    mean: float
    sd: float
    slope: float = 1.0


@dataclass(frozen=True)
class Wave:
    """Devices that a gate watches, one after the other.

    Parameters
    ----------
    n : int
        Devices of the treated arm, and of the control arm for gates with two.
    baseline : float
        Failure rate in [0, 1], or mean of the metric in its unit, without a regression.
    looks : int or None
        Looks, evenly spaced, the last at n. None: one for gates that are valid for one; after every device for the
        others (at most 20,000 looks), and 100 where they compare two arms.
    schedule : tuple of int
        Devices seen at each look where they do not come evenly: never falling, up to n. Takes the place of looks.
    control : tuple of int
        Devices of the control arm at these looks, where it is not as large as the treated one.
    spare : int
        How many looks may find a regression before one counts.
    sd : float or None
        Standard deviation of the metric between devices; None for failures.
    parts : tuple of Part
        Classes that make up this deviation where the metric of all devices together is not normal.
    class_share : float
        Share of the devices that a regression affects, in (0, 1].
    replications : int
        Simulated waves, where nothing exact is known.
    seed : int
        Of the simulated waves.

    Raises
    ------
    FedliteError
        If a parameter is out of its range.
    """

    n: int
    baseline: float
    looks: int | None = None
    schedule: tuple[int, ...] = ()
    control: tuple[int, ...] = ()
    spare: int = 0
    sd: float | None = None
    parts: tuple[Part, ...] = ()
    class_share: float = 1.0
    replications: int = 4_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("n", self.n, MOST_DEVICES)
        if self.looks is not None:
            check_count("looks", self.looks, min(self.n, MOST_LOOKS))
        if self.schedule and (self.schedule[-1] != self.n or any(np.diff(self.schedule) < 0)):
            raise ValueError("a schedule rises to n")
        if self.sd is None:
            check_share("baseline", self.baseline, or_none=True)
        else:
            check_number("sd", self.sd, 0.0, open_end=True)
            check_number("baseline", self.baseline, -np.inf)
        check_share("class_share", self.class_share)
        check_count("replications", self.replications, MOST_REPLICATIONS)

    def seen_at(self, gate: Gate) -> NDArray[np.int64]:
        """Return how many devices of an arm were seen at each look of this gate, shape (k,)."""
        if self.schedule:
            return np.array(self.schedule, dtype=np.int64)
        looks = self.looks
        if looks is None:
            usual = USUAL_LOOKS if gate.two_arms else MOST_LOOKS
            looks = 1 if gate.valid == "one look" else min(self.n, usual)
        # Whole-number arithmetic: the last look is at n, and none comes twice.
        return -(-self.n * np.arange(1, looks + 1) // looks)

    def of(self, n: int) -> Wave:
        """Return a wave of so many devices that come in as these do, looked at as these are."""
        if not self.schedule:
            return replace(self, n=n, looks=self.looks and min(self.looks, n))
        treated, control = (tuple(-(-seen * n // self.n) for seen in arm) for arm in (self.schedule, self.control))
        return replace(self, n=n, schedule=treated, control=control)

    def held_at(self, gate: Gate) -> NDArray[np.int64]:
        """Return how many devices of the control arm were seen at each look of this gate, shape (k,)."""
        return np.array(self.control, dtype=np.int64) if self.control else self.seen_at(gate)

    def rate(self, effect: float) -> float:
        """Return the failure rate of all devices, if those that are affected fail with the rate `effect`."""
        return (1.0 - self.class_share) * self.baseline + self.class_share * effect
