"""Messages that wait until their device is free: a device does one job at a time, in the order in which they came."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from flwr.app import Message

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Waiting:
    """A message whose turn has not come, and until when (virtual time) the server waits for its reply."""

    message: Message
    round_: int
    deadline_s: float


class Turns:
    """Queues of messages, one per device."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[Waiting]] = {}
        self._names: set[str] = set()

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._names

    def add(self, device: int, waiting: Waiting) -> None:
        """Put a message at the end of a device's queue."""
        self._queues.setdefault(device, deque()).append(waiting)
        self._names.add(waiting.message.metadata.message_id)

    def waits(self, device: int) -> bool:
        """Tell whether a message waits for a device."""
        return bool(self._queues.get(device))

    def next(self, device: int) -> Waiting:
        """Take the first message of a device's queue."""
        waiting = self._queues[device].popleft()
        self._names.remove(waiting.message.metadata.message_id)
        return waiting

    def drop(self, message_ids: set[str]) -> None:
        """Forget messages that nobody waits for any more."""
        for device, queue in self._queues.items():
            kept = deque(each for each in queue if each.message.metadata.message_id not in message_ids)
            self._queues[device] = kept
        self._names -= message_ids


def first_of_each(devices: Ids, busy: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which messages of a batch can leave at once: the first to each device that is not busy."""
    first = np.zeros(len(devices), dtype=bool)
    first[np.unique(devices, return_index=True)[1]] = True
    return first & ~busy
