"""Which plan a job gets. A plan belongs to a job: who assigns may look at the device, its state and the round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fedlite.compression.plan import Plan

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


class Assignment(Protocol):
    """Says under which plan devices work: a function of the fleet's state at that time and of how jobs ended before."""

    def plans(self, devices: Ids, round_: int, now_s: float, *, trains: bool = True) -> Sequence[Plan]:
        """Return one plan per device, of those that there are from the beginning; `trains` is false for tests."""

    def note(self, outcomes: Outcomes) -> None:
        """Learn how training jobs ended."""


@dataclass(frozen=True)
class Outcomes:
    """n training jobs that are over, in the order in which they were handed out. Arrays have shape (n,).

    Attributes
    ----------
    round_ : int
    devices : ndarray of int
    plans : sequence of n Plan
        As they were assigned.
    arrived : ndarray of bool
        Whose update the server got; only of these is the rest known to it.
    up_bytes, raw_bytes : ndarray
        The update as it was sent, and as it is in memory.
    loss : ndarray
        Mean training loss.
    examples : ndarray of int
    """

    round_: int
    devices: Ids
    plans: Sequence[Plan]
    arrived: NDArray[np.bool_]
    up_bytes: Floats
    raw_bytes: Floats
    loss: Floats
    examples: Ids


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

    def plans(self, devices: Ids, round_: int, now_s: float, *, trains: bool = True) -> list[Plan]:
        """Return each device's plan."""
        return [self.plan_of[profile] for profile in self.profile_of[devices].tolist()]

    def note(self, outcomes: Outcomes) -> None:
        """Learn nothing."""


class Noted:
    """Another assignment, which notes the plan under which each device was last given training.

    Parameters
    ----------
    assignment : Assignment
    """

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self.last: dict[int, Plan] = {}

    def plans(self, devices: Ids, round_: int, now_s: float, *, trains: bool = True) -> Sequence[Plan]:
        """Return each device's plan."""
        found = self._assignment.plans(devices, round_, now_s, trains=trains)
        if trains:
            # A structure may be another one at this round, or on this device.
            self.last.update({d: plan.at(round_, d) for d, plan in zip(devices.tolist(), found, strict=True)})
        return found

    def note(self, outcomes: Outcomes) -> None:
        """Hand it on."""
        self._assignment.note(outcomes)


@dataclass(frozen=True)
class Standing:
    """What n devices have when their jobs are handed out. Arrays have shape (n,).

    Attributes
    ----------
    charge : ndarray
        Share of the battery that is left; 1 on mains.
    up_bps : ndarray
        The device's own mean uplink rate on the link that it is on. How a single transfer varies, nobody knows before.
    memory_bytes : ndarray
        What a job may take.
    """

    charge: Floats
    up_bps: Floats
    memory_bytes: Floats


@dataclass(frozen=True)
class Condition:
    """Below which charge, uplink rate and memory a plan is for; infinity where that does not matter."""

    charge: float = np.inf
    up_bps: float = np.inf
    memory_bytes: float = np.inf

    def met(self, standing: Standing) -> NDArray[np.bool_]:
        """Tell which devices are below all of them."""
        return np.asarray(
            (standing.charge < self.charge)
            & (standing.up_bps < self.up_bps)
            & (standing.memory_bytes < self.memory_bytes)
        )


Case = tuple["Condition", "Plan"]


@dataclass(frozen=True)
class ByCondition:
    """Every device follows the first plan of its profile whose condition it meets, job by job.

    Attributes
    ----------
    otherwise : ByProfile
        Who meets none.
    cases : sequence of sequences of (Condition, Plan)
        By position of the profile, in the order in which they are tried.
    look : callable
        What devices have at a time that is not before the last one asked about.
    """

    otherwise: ByProfile
    cases: Sequence[Sequence[Case]]
    look: Callable[[Ids, float], Standing]

    def plans(self, devices: Ids, round_: int, now_s: float, *, trains: bool = True) -> list[Plan]:
        """Return each device's plan."""
        found = self.otherwise.plans(devices, round_, now_s)
        standing, profiles = self.look(devices, now_s), self.otherwise.profile_of[devices]
        for profile, cases in enumerate(self.cases):
            # Backwards, so that the first case that is met has the last word.
            for condition, plan in reversed(cases):
                for place in np.flatnonzero((profiles == profile) & condition.met(standing)).tolist():
                    found[place] = plan
        return found

    def note(self, outcomes: Outcomes) -> None:
        """Learn nothing."""
