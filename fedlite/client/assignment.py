"""Which plan a job gets. A plan belongs to a job: who assigns may look at the device and the round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compression.plan import Plan

Ids = NDArray[np.int64]


class Assignment(Protocol):
    """Says under which plan devices work; a pure function of (devices, round)."""

    def plans(self, devices: Ids, round_: int) -> Sequence[Plan]:
        """Return one plan per device."""


@dataclass(frozen=True)
class ByProfile:
    """Every device follows the plan of its profile, in every round.

    Attributes
    ----------
    plan_of : sequence of Plan
        By position of the profile.
    profile_of : ndarray, shape (N,)
        The profile of each device.
    """

    plan_of: Sequence[Plan]
    profile_of: NDArray[Any]

    def plans(self, devices: Ids, round_: int) -> list[Plan]:
        """Return each device's plan."""
        return [self.plan_of[profile] for profile in self.profile_of[devices].tolist()]
