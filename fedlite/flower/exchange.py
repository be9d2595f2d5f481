"""The seam between the fleet, which knows time and energy, and what clients compute.

A `Runtime` turns a batch of messages into an `Exchange`; the grid prices it, tells it which jobs are worth computing,
and asks for the replies of those that arrived (all at once, or one by one). Two runtimes exist: the native trainer and
any Flower ClientApp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flwr.app import Error, Message, RecordDict

    from fedlite.fleet.booking import Facts
    from fedlite.fleet.demands import Demands

Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Exchange(Protocol):
    """A batch of n messages on its way through the clients."""

    @property
    def demands(self) -> Demands:
        """What the jobs ask of their devices; uploads are exact if `final`, else after `finish`."""

    @property
    def final(self) -> bool:
        """Whether the lengths of all uploads are known before `finish`."""

    def start(self, arriving: Bools, uploading: Bools) -> None:
        """Begin to compute: at least the jobs that can arrive in time; all that begin to send if lengths are not known.

        Late jobs that begin to send matter also where their device remembers what it could not deliver.
        """

    def finish(self) -> None:
        """Wait for the computation; `demands` and `facts` are final afterwards."""

    @property
    def facts(self) -> Facts:
        """What the ledger says about the jobs."""

    def settle(self, arrived: Bools, downloaded: Bools) -> None:
        """Learn, once, which replies the server really got and which devices their model; keep state accordingly."""

    def replies(self, arrived: Bools) -> Sequence[RecordDict | Error | None]:
        """Return the contents of the replies of the jobs that arrived, one per message in order, None where none is."""


class Runtime(Protocol):
    """What simulated clients compute."""

    @property
    def tracebacks(self) -> Mapping[str, str]:
        """The first traceback of each reason for which clients' own code failed."""

    def open(self, messages: Sequence[Message], devices: Ids, now_s: float) -> Exchange:
        """Begin an exchange now, in virtual time: message i goes to device `devices[i]`; devices are distinct."""
