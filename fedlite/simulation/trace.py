"""Replay of recorded availability: a CSV of intervals, read strictly, answered by binary search.

The form (`docs/traces.md`) is one line per interval, with this header::

    device,start_s,end_s,state
    phone-17,3600,28800,plugged
    phone-17,0,32400,unmetered

`device` is any text, `start_s` and `end_s` are seconds from the beginning of the recording with start < end, `state`
is plugged, unmetered or idle. Second 0 is time 0 of the fleet: Monday 00:00 of its calendar. Lines may come in any
order; overlapping intervals of one device and state are united.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite import rng
from fedlite.errors import FedliteError, InvalidFileError, Problem
from fedlite.simulation.conditions import CONDITIONS, Bools, Condition, Ids, Timeline, Times

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Rows = dict[Condition, list[tuple[str, float, float]]]
"""State -> (device, start_s, end_s) of every interval."""

HEADER: Final = ("device", "start_s", "end_s", "state")
_FORM: Final = "write lines like 'phone-17,3600,28800,plugged'"


@dataclass(frozen=True)
class Intervals:
    """The intervals of one state: device `d` owns rows `first[d]` to `first[d + 1]`, disjoint and in order."""

    first: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """A recording of `devices`, from time 0 to `length_s`."""

    devices: tuple[str, ...]
    length_s: float
    states: Mapping[Condition, Intervals]


class TraceReplay(Timeline):
    """Devices that live through a recording again and again.

    Parameters
    ----------
    trace : Trace
        What was recorded.
    seed : int
        Draws which recorded device each simulated device follows; with `shuffle=False`, device `i` follows recorded
        device `i` modulo their number.
    period_s : float, optional
        The recording starts again after this time, its length by default; it may not be shorter than the recording.
    """

    def __init__(self, trace: Trace, seed: int, *, shuffle: bool = True, period_s: float | None = None) -> None:
        self.trace = trace
        self.seed = seed
        self.shuffle = shuffle
        self.period_s = trace.length_s if period_s is None else float(period_s)
        self.horizon_s = 2.0 * self.period_s
        if self.period_s < trace.length_s:
            raise FedliteError(
                f"period: got {self.period_s:g} s, expected at least the recording's {trace.length_s:g} s; "
                "cut the recording or leave the period out"
            )

    def followed(self, ids: Ids) -> NDArray[np.int64]:
        """Return the recorded device that each device follows."""
        n = len(self.trace.devices)
        if not self.shuffle:
            return np.asarray(ids, dtype=np.int64) % n
        return (rng.uniform(self.seed, "trace device", ids) * n).astype(np.int64)

    def holds(self, condition: Condition, ids: Ids, t_s: Times) -> Bools:
        """Return whether the recorded device was in this state."""
        state = self.trace.states[condition]
        if not len(state.start_s):
            return np.zeros(len(ids), dtype=np.bool_)
        phase = t_s - np.floor(t_s / self.period_s) * self.period_s
        device = self.followed(ids)
        row = _last_start(state, device, phase)
        return (row >= state.first[device]) & (phase < state.end_s[np.maximum(row, 0)])

    def run_end(self, condition: Condition, ids: Ids, t_s: Times, limit_s: Times) -> Times:
        """Return the end of the interval, carried over the seam when the next round begins where this one ends."""
        state = self.trace.states[condition]
        end = np.array(t_s, dtype=np.float64)
        open_ = np.arange(len(ids))
        last = np.minimum(limit_s, t_s + self.horizon_s)
        while len(open_):
            base = np.floor(end[open_] / self.period_s) * self.period_s
            device = self.followed(ids[open_])
            row = _last_start(state, device, end[open_] - base)
            end[open_] = base + state.end_s[row]
            going = (end[open_] < last[open_]) & self.holds(condition, ids[open_], end[open_])
            open_ = open_[going]
        return end

    def next_on(self, condition: Condition, ids: Ids, t_s: Times) -> Times:
        """Return the start of the next interval, in this round of the recording or the next."""
        state = self.trace.states[condition]
        if not len(state.start_s):
            return np.full(len(ids), np.inf)
        start = np.array(t_s, dtype=np.float64)
        open_ = np.flatnonzero(~self.holds(condition, ids, start))
        base = np.floor(start[open_] / self.period_s) * self.period_s
        device = self.followed(ids[open_])
        row = _last_start(state, device, start[open_] - base) + 1
        wraps = row >= state.first[device + 1]
        row = np.where(wraps, state.first[device], row)
        known = state.first[device + 1] > state.first[device]
        begin = base + np.where(wraps, self.period_s, 0.0) + state.start_s[np.minimum(row, len(state.start_s) - 1)]
        start[open_] = np.where(known, begin, np.inf)
        return start


def _last_start(state: Intervals, device: NDArray[np.int64], phase: Times) -> NDArray[np.int64]:
    """Return the last row of each device with start <= phase, or the row before the device's first."""
    low, high = state.first[device].copy(), state.first[device + 1].copy()
    while np.any(low < high):  # binary search in every device's rows at once
        open_ = low < high
        middle = (low + high) // 2
        before = open_ & (state.start_s[np.minimum(middle, len(state.start_s) - 1)] <= phase)
        low = np.where(before, middle + 1, low)
        high = np.where(open_ & ~before, middle, high)
    return low - 1


def read_trace(path: str | Path) -> Trace:
    """Return the recording in a CSV file.

    Raises
    ------
    InvalidFileError
        If the header or a line is wrong: every mistake with its line, what was got and what is expected.
    """
    place = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise FedliteError(f"{place}: cannot be read ({error.strerror}); give the path of a trace file") from error
    except UnicodeDecodeError as error:
        raise InvalidFileError([_untold(place, f"got the byte {error.object[error.start]:#04x}")]) from error
    rows: Rows = {condition: [] for condition in CONDITIONS}
    problems: list[Problem] = []
    lines = csv.reader(text.splitlines())
    header = tuple(next(lines, ()))
    if header != HEADER:
        message = f"got {','.join(header)!r}, expected {','.join(HEADER)!r}"
        raise InvalidFileError([Problem(place, 1, 1, "header", message, "mend the first line")])
    try:
        for cells in lines:
            if cells:
                _take(cells, place, lines.line_num, rows, problems)
    except csv.Error as error:
        problems.append(_untold(place, f"got no CSV ({error})", lines.line_num))
    if not problems and not any(rows.values()):
        problems.append(Problem(place, 1, 1, "file", "got a header and no line, expected intervals", _FORM))
    if problems:
        raise InvalidFileError(problems)
    return build_trace(rows)


def _untold(place: str, message: str, line: int = 1) -> Problem:
    return Problem(place, line, 1, "file", f"{message}, expected UTF-8 text of comma-separated lines", _FORM)


def _take(cells: list[str], place: str, line: int, rows: Rows, problems: list[Problem]) -> None:
    """Add one line's interval to `rows`, or what is wrong with it to `problems`."""

    def wrong(column: int, key: str, message: str) -> None:
        problems.append(Problem(place, line, column, key, message, _FORM))

    if len(cells) != len(HEADER):
        wrong(1, "line", f"got {len(cells)} cells, expected {len(HEADER)}")
        return
    device, start, end, state = (cell.strip() for cell in cells)
    times = [_seconds(start), _seconds(end)]
    columns = [1 + sum(len(cell) + 1 for cell in cells[:n]) for n in range(len(cells))]
    if not device:
        wrong(columns[0], "device", "got nothing, expected a name")
    for column, key, text, value in ((1, "start_s", start, times[0]), (2, "end_s", end, times[1])):
        if value is None:
            wrong(columns[column], key, f"got {text!r}, expected seconds from 0 on")
    if times[0] is not None and times[1] is not None and times[0] >= times[1]:
        wrong(columns[2], "end_s", f"got {end}, expected more than start_s = {start}")
    known = next((condition for condition in CONDITIONS if condition == state), None)
    if known is None:
        wrong(columns[3], "state", f"got {state!r}, expected one of {', '.join(CONDITIONS)}")
    elif device and times[0] is not None and times[1] is not None:
        rows[known].append((device, times[0], times[1]))


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0.0 else None


def build_trace(rows: Rows) -> Trace:
    """Return the recording made of (device, start_s, end_s) per state; overlaps and touching intervals are united."""
    devices = tuple(sorted({device for intervals in rows.values() for device, _, _ in intervals}))
    length_s = max(end for intervals in rows.values() for _, _, end in intervals)
    states = {condition: _intervals(devices, rows.get(condition, [])) for condition in CONDITIONS}
    return Trace(devices, length_s, states)


def _intervals(devices: tuple[str, ...], rows: list[tuple[str, float, float]]) -> Intervals:
    number = {device: index for index, device in enumerate(devices)}
    united: list[list[float]] = []
    counts = np.zeros(len(devices) + 1, dtype=np.int64)
    for device, start, end in sorted((number[name], begin, close) for name, begin, close in rows):
        if united and united[-1][0] == device and start <= united[-1][2]:
            united[-1][2] = max(united[-1][2], end)
        else:
            united.append([device, start, end])
            counts[device + 1] += 1
    table = np.asarray(united, dtype=np.float64).reshape(-1, 3)
    return Intervals(np.cumsum(counts), table[:, 1].copy(), table[:, 2].copy())
