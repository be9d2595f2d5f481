"""The seam between the fleet, which knows time and energy, and what clients compute.

A `Runtime` turns a batch of messages into an `Exchange`; the grid prices it, tells it which jobs are worth computing,
and asks for the replies of those that arrived (all at once, or one by one). Two runtimes exist: the native trainer and
any Flower ClientApp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flwr.app import Error, Message, RecordDict

    from fedlite.fleet.pricing import Work

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Facts:
    """What the ledger says about n jobs beyond time and energy. All arrays have shape (n,).

    `energy_low` and `energy_high` are factors around a job's predicted compute energy.
    """

    plan: NDArray[np.str_]
    down_raw_bytes: NDArray[np.int64]
    up_raw_bytes: NDArray[np.int64]
    examples: NDArray[np.int64]
    steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    failed: Bools
    """Jobs whose client code raised an error."""
    energy_low: NDArray[np.float64]
    energy_high: NDArray[np.float64]


class Exchange(Protocol):
    """A batch of n messages on its way through the clients."""

    @property
    def work(self) -> Work:
        """What the jobs ask of their devices; final once `final` is true."""

    @property
    def final(self) -> bool:
        """Whether `work.up_bytes` are exact already, before `finish`."""

    def start(self, alive: Bools) -> None:
        """Compute the jobs that are worth it (the others will not be asked for)."""

    def finish(self) -> None:
        """Wait for the computation; `work` and `facts` are final afterwards."""

    @property
    def facts(self) -> Facts:
        """What the ledger says about the jobs."""

    def settle(self, arrived: Bools) -> None:
        """Learn, once, which replies the server really got: clients keep or take back their state accordingly."""

    def replies(self, arrived: Bools) -> Sequence[RecordDict | Error | None]:
        """Return the contents of the replies of the jobs that arrived, one per message in order, None where none is."""


class Runtime(Protocol):
    """What simulated clients compute."""

    def open(self, messages: Sequence[Message], devices: Ids) -> Exchange:
        """Begin an exchange: message i goes to device `devices[i]`; devices are distinct."""
