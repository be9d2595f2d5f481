"""In which order, and when, devices are let in: stages of growing shares, or a rate that grows as it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Stage:
    """A step of a plan.

    Attributes
    ----------
    label : str
    number : int
        Which letting-in this is, from 1. Stages of one number differ in what is asked at their ends.
    share : float
        Of the devices that can be let in and that `profiles` chooses, let in from now on; all earlier ones count.
    count : int
        Devices let in beyond that share.
    hold_s : float
        How long the stage lasts at least.
    installed : float or None
        Share of its devices that must run the new model before it ends.
    waits_s : float
        How long a person takes afterwards to let it go on.
    profiles : ndarray of bool, shape (P,), or None
        Profiles that the stage lets in; None: all.
    analyses : tuple of str
        Gates that are asked as the stage ends, before anybody is waited for.
    """

    label: str
    number: int
    share: float
    hold_s: float
    count: int = 0
    installed: float | None = None
    waits_s: float = 0.0
    profiles: Bools | None = None
    analyses: tuple[str, ...] = ()

    def size(self, meant: int) -> int:
        """Return how many of the devices meant are in once the stage has begun."""
        # A share of a few devices is one at least; what is a hair above a whole number is that number.
        return min(meant, self.count + math.ceil(round(self.share * meant, 9)))


@dataclass(frozen=True)
class Ramp:
    """A rate that is multiplied each time so many more devices have been let in, or have the new model.

    The exponential rate of AWS IoT Jobs.

    Attributes
    ----------
    base_per_s, most_per_s : float
        Devices per second.
    factor : float
    after : int
        Devices after which the rate is multiplied.
    of_succeeded : bool
        Whether devices that run the new model are counted, or those that were let in.
    """

    base_per_s: float
    most_per_s: float
    factor: float = 1.0
    after: int = 1
    of_succeeded: bool = False


Strategy = tuple[Stage, ...] | Ramp
