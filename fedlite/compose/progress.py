"""How far a run is, for those who watch it: in the process, and in its directory from any other."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedlite.results.directory import PROGRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fedlite.results.directory import RunDirectory


@dataclass(frozen=True)
class Progress:
    """Finished rounds of `rounds` (0: unknown), virtual time, the main metric's latest value or NaN, energy so far.

    With `trains` false the rounds are of queries: nothing was trained so far. `doing` says what is under way where that
    is no round: before the first one, on which backend and why. `is_share`: the value is read as a percentage. `row` is
    that of the table of rounds that was closed last, for those who log it; it is told again if it grows, as that of the
    last round may.
    """

    round_: int
    rounds: int
    virtual_time_s: float
    metric: str
    value: float
    energy_j: float
    trains: bool = True
    doing: str = ""
    is_share: bool = False
    row: Mapping[str, float | int] = field(default_factory=dict, repr=False)


def noted(directory: RunDirectory, others: Iterable[Callable[[Progress], None]]) -> Callable[[Progress], None]:
    """Return what notes each progress in the directory of its run, but for the row, and tells it on."""
    listeners = list(others)

    def tell(now: Progress) -> None:
        directory.write_json(PROGRESS, {name: value for name, value in vars(now).items() if name != "row"})
        for listener in listeners:
            listener(now)

    return tell


def read_progress(directory: RunDirectory) -> Progress | None:
    """Return the last progress of a run that is under way; None before the first."""
    try:
        told = json.loads((directory.path / PROGRESS).read_text(encoding="utf-8"))
        return Progress(**{**told, "value": math.nan if told["value"] is None else told["value"]})
    except (OSError, ValueError, KeyError, TypeError):
        return None
