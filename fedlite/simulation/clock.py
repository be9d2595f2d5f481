"""The virtual clock: one heap, one total order, no wall time.

Entries are `(time_s, priority, sequence, event)`; ties in time go by priority and then by order of insertion, so the
order never depends on what an event is. The sequence number is unique, hence events are never compared.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

from fedlite.errors import FedliteError

Event = TypeVar("Event")


class Clock(Generic[Event]):
    """Virtual seconds since the start of the run and the events still to come."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self._heap: list[tuple[float, int, int, Event]] = []
        self._sequence = 0

    @property
    def now_s(self) -> float:
        """Current virtual time, seconds."""
        return self._now_s

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, time_s: float, event: Event, priority: int = 0) -> None:
        """Add an event at a time that is not past.

        Raises
        ------
        FedliteError
            If `time_s` lies before the current time or is not a number.
        """
        if not time_s >= self._now_s:
            raise FedliteError(f"time_s: got {time_s}, expected at least the current virtual time {self._now_s} s")
        heapq.heappush(self._heap, (time_s, priority, self._sequence, event))
        self._sequence += 1

    def advance(self, time_s: float) -> None:
        """Move to a time; earlier times leave the clock where it is. Events that became due stay until popped."""
        self._now_s = max(self._now_s, time_s)

    def next_time_s(self) -> float:
        """Return the time of the next event, infinity if there is none."""
        return self._heap[0][0] if self._heap else float("inf")

    def pop(self) -> tuple[float, Event]:
        """Remove the next event, move to its time, and return both.

        Raises
        ------
        FedliteError
            If no event is left.
        """
        if not self._heap:
            raise FedliteError("clock: got a request for the next event, expected one to be scheduled first")
        time_s, _, _, event = heapq.heappop(self._heap)
        self.advance(time_s)
        return time_s, event
