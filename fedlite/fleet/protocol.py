"""How a real server and its devices meet, as plain numbers: who checks in when, and what a round waits for.

References
----------
Bonawitz et al. 2019, "Towards Federated Learning at Scale: System Design", sections 2.2 and 2.3: selection,
configuration and reporting, and pace steering.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.rng import normal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_P95: Final = 1.6448536269514722
"""The 95th percentile of a standard normal variable."""


@dataclass(frozen=True)
class Retry:
    """After how long a device tries again: `after_s`, give or take a share `jitter` of it, evenly."""

    after_s: float
    jitter: float


@dataclass(frozen=True)
class CheckIn:
    """When devices come.

    `first_s` bounds their first check-in; `every_s` is the period of the device's own job, which holds where it is
    longer than what the server wants; `jitter_s` bounds what the operating system adds once a device meets the rules.
    """

    first_s: float
    every_s: float
    jitter_s: float
    steering: bool
    """Whether the server tells devices when to come back; else they come back after `full_s`."""
    full_s: tuple[float, float]
    transient: Retry
    """After a condition was lost in mid-job, or the device had too little charge to come."""
    permanent: Retry
    """After an error that a retry will not mend, and after being refused."""
    refused: float
    """Share of devices that the server turns away for good, as attestation does."""


@dataclass(frozen=True)
class Selection:
    """How a cohort comes together: once `asked` devices wait, or after `timeout_s` if at least `least` do.

    A device that waits gives up after `timeout_s` too.
    """

    asked: int
    least: int
    timeout_s: float
    rounds: bool
    """False for servers without rounds: who waits is there to be asked."""


@dataclass(frozen=True)
class Reporting:
    """When a round ends: `deadline_s` after it began at the latest."""

    deadline_s: float
    device_cap_s: float
    """How long a device works on one job before it gives up."""


@dataclass(frozen=True)
class StartUp:
    """Starting the process and loading the model: lognormal, given by two percentiles and cut off."""

    median_s: float
    p95_s: float
    most_s: float

    def draw_s(self, seed: int, devices: NDArray[np.int64], number: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return how long the start of that number takes on each device, seconds (n,)."""
        sigma = math.log(self.p95_s / self.median_s) / _P95 if self.median_s > 0 else 0.0
        bell = normal(seed, "start-up", devices, number)
        return np.asarray(np.minimum(self.median_s * np.exp(sigma * bell), self.most_s))


@dataclass(frozen=True)
class Protocol:
    """The whole of it. `min_gap_s` lies between the end of a device's contribution and its next check-in."""

    check_in: CheckIn
    min_gap_s: float
    selection: Selection
    reporting: Reporting
    server_time_s: float
    """What the server takes for itself after a round has closed; devices may check in meanwhile."""
    start_up: StartUp

    @property
    def period_s(self) -> float:
        """The longest that a whole round takes; slots at which few devices meet lie so far apart."""
        return self.selection.timeout_s + self.reporting.deadline_s + self.server_time_s
