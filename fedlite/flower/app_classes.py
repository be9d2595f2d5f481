"""What holds for all devices of one profile when they run somebody else's ClientApp."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from fedlite.flower.app_wire import AppWire
from fedlite.units import show

PLAN: Final = "app"
"""What the ledger says of the compression plan where none was given: the app trains what it likes."""


@dataclass(frozen=True)
class AppClass:
    """A device class of an app.

    Attributes
    ----------
    plan : str
        Name of the plan whose codecs the class uses.
    wire : AppWire
    wall_bytes : float
        Memory at which a job is killed there.
    storage_bytes : float
        Free storage.
    """

    plan: str = PLAN
    wire: AppWire = field(default_factory=AppWire)
    wall_bytes: float = math.inf
    storage_bytes: float = math.inf

    def misfit(self, kind: str, peak_bytes: float, down_bytes: float) -> str | None:
        """Return why a job of a kind can never run here, None if it can."""
        if peak_bytes > self.wall_bytes:
            return (
                f"a {kind} job of the app takes {show(peak_bytes, 'bytes')} of memory,"
                f" and is killed at {show(self.wall_bytes, 'bytes')}"
            )
        if down_bytes > self.storage_bytes:
            return (
                f"a {kind} message takes {show(down_bytes, 'bytes')} of storage,"
                f" and {show(self.storage_bytes, 'bytes')} are free"
            )
        return None
