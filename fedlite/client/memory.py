"""What devices remember between their jobs: the memory of each part, by device and by the net that it belongs to.

A device whose plan changes to another net begins with an empty memory there, and finds its old one if it comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from fedlite.compression.plan import Plan

PartMemory = Mapping[str, NDArray[Any]]
JobMemory = dict[str, PartMemory]
"""Name of the part -> its memory."""


class DeviceMemories:
    """The memories of all devices of a run. A device that never had a job has none and costs nothing."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], JobMemory] = {}

    def of(self, device: int, plan: Plan) -> JobMemory:
        """Return what a device remembers of the parts of a plan."""
        return self._kept.get((device, plan.structure.key), {})

    def keep(self, device: int, plan: Plan, memory: JobMemory) -> None:
        """Remember the parts that a job has used; what other parts keep stays."""
        place = (device, plan.structure.key)
        self._kept[place] = {**self._kept.get(place, {}), **memory}
