"""What devices remember between their jobs: the memory of each part, by device and by the net that it belongs to.

A device whose plan changes to another net begins with an empty memory there, and finds its old one if it comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.compression.part import PartError

if TYPE_CHECKING:
    from fedlite.compression.plan import Plan

PartMemory = Mapping[str, NDArray[Any]]
JobMemory = dict[str, PartMemory]
"""Name of the part -> its memory."""
_NUMBERS: Final = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
"""Numpy's types that the journal can write."""


def storable(memory: JobMemory) -> JobMemory:
    """Return what parts want remembered of one job, which travels and is written down as arrays under names.

    Raises
    ------
    PartError
        If it is anything else.
    """
    for part, kept in memory.items():
        if not isinstance(kept, Mapping):
            raise PartError(f"{part}: got {type(kept).__name__} as its memory, expected a mapping; return a dict")
        for key, values in kept.items():
            if not isinstance(key, str):
                raise PartError(f"{part}: got the name {key!r} in its memory, expected a text; call it by one")
            if not (isinstance(values, np.ndarray | np.generic) and values.dtype.str[1:] in _NUMBERS):
                got = f"{type(values).__name__}{f' of {values.dtype}' if isinstance(values, np.ndarray) else ''}"
                raise PartError(
                    f"{part}: got {got} as {key!r} in its memory, expected a numpy array of numbers; return one"
                )
    return memory


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
