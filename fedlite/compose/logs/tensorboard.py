"""Scalars for TensorBoard: one folder per run, a scalar per column of the table of rounds.

The wall time of an event is the run's virtual time, so that "Relative" and "Wall" show the fleet's clock.
"""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fedlite.compose.logs import About

_MARK = "fedlite.json"
_EVENTS = "events.out.tfevents.*"


class Book:
    """The events of one run, in a folder called after it; what they hold already is not written again."""

    def __init__(self, folder: Path, about: About) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        own = _own_folder(folder, about)
        if about.is_new:
            for events in own.glob(_EVENTS):
                events.unlink()
        self.last = max((_last_step(events) for events in own.glob(_EVENTS)), default=-1)
        self._writer = EventFileWriter(str(own))

    def write(self, round_: int, time_s: float, values: Mapping[str, float]) -> None:
        """Write one event with all values of a round."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(Event(wall_time=time_s, step=round_, summary=Summary(value=scalars)))
        self._writer.flush()

    def close(self, *, finished: bool) -> None:
        """End the file; a resumed run begins another beside it."""
        self._writer.close()


def _own_folder(folder: Path, about: About) -> Path:
    """Return the folder of a run, which no other run has, also one of the same name elsewhere."""
    run = str(about.path.resolve())
    for number in count(1):
        own = folder / (about.path.name if number == 1 else f"{about.path.name}-{number}")
        mark = own / _MARK
        if not own.exists():
            own.mkdir(parents=True)
            mark.write_text(json.dumps({"run": run}), encoding="utf-8")
        if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")) == {"run": run}:
            return own
    raise AssertionError("numbers do not end")


def _last_step(events: Path) -> int:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    # Every file begins with an event without values; one that was cut off ends where it was.
    return max((event.step for event in EventFileLoader(str(events)).Load() if event.summary.value), default=-1)
