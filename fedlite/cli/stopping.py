"""Ending before the end: Ctrl-C and SIGTERM close what is open, say how to go on, and differ in their exit code."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM


def listen() -> None:
    """From now on SIGTERM does what Ctrl-C does, once: asking again while everything is being closed does nothing."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: object) -> None:
    del frame
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def exit_code() -> int:
    """Return the exit code of what was stopped."""
    # Ray and click make exceptions of their own of the one that was raised; the signal's handler stays as it was left.
    return TERMINATED if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN else INTERRUPTED


@contextmanager
def told() -> Iterator[None]:
    """Say what is noted on a stop: how the work goes on.

    Raises
    ------
    SystemExit
        In place of the stop, of which click would say nothing.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", ["Stopped."]):
            print(note, file=sys.stderr)
        raise SystemExit(exit_code()) from None
