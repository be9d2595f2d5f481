"""Helpers of a Ray cluster that would outlive a killed driver, and what ends them.

A driver that is killed takes its raylet and the raylet its actors with it; the raylet's agents then seek the cluster
for a minute. A shell waits on a pipe whose other end the driver alone holds: however the driver ends, the pipe closes.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

_SCRIPT: Final = """
cat > /dev/null
sleep 2
for pid in "$@"; do
    case "$(cat /proc/$pid/comm 2> /dev/null)" in ray::*) kill -9 $pid;; esac
done
"""
"""Clean ends first; and only what still is a process of Ray's, since numbers are given again."""


class Reaper:
    """Ends the children that a raylet has now, once this process has ended or `let_go` is called.

    Parameters
    ----------
    raylet : int
        Its process. Where there is no /proc, nothing is done.
    """

    def __init__(self, raylet: int) -> None:
        self._shell: subprocess.Popen[bytes] | None = None
        agents = _children(raylet)
        if agents:
            command = ["/bin/sh", "-c", _SCRIPT, "fedlite-reaper", *map(str, agents)]
            # A session of its own: Ctrl-C at the terminal must not end it before its time.
            self._shell = subprocess.Popen(  # noqa: S603 (no part of it is anybody's input)
                command,
                stdin=subprocess.PIPE,
                # Who reads what the driver says must not wait for its helper.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def let_go(self) -> None:
        """End what has not ended itself in two seconds; do not wait for it."""
        if self._shell is not None and self._shell.stdin is not None:
            self._shell.stdin.close()
        self._shell = None


def _children(parent: int) -> list[int]:
    """Return the processes that a process has started and that are not over."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # Processes end while they are looked at.
        with suppress(OSError, ValueError):
            # pid (name) state parent: the name may hold anything.
            if int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return sorted(found)
