"""The time that an app's own code reads and sleeps: the fleet's in its ServerApp, its device's in a ClientApp.

While an app runs, `time.sleep`, `time.time`, `time.monotonic`, `time.perf_counter` and their `_ns` forms ask who calls:
code of the app gets virtual time, everybody else (Flower, Ray, torch) the real one. What is out of reach is told in
docs/how-to/flower-apps.md.
"""

from __future__ import annotations

import functools
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any, Final, Protocol

from fedlite.units import NANOSECOND_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

EPOCH_S: Final = 1_704_067_200.0
"""What `time.time` says at virtual time 0: 2024-01-01 00:00 UTC, a Monday like the first day of every fleet."""
READING_S: Final = 1e-3
"""What reading a clock takes, so that code which waits by looking at one comes to an end."""
LONGEST_SLEEP_S: Final = 2**63 * NANOSECOND_S
"""What the real `time.sleep` takes at most."""


class Timekeeper(Protocol):
    """Whose time it is."""

    @property
    def now_s(self) -> float:
        """Virtual seconds."""

    def sleep(self, duration_s: float) -> None:
        """Let time pass."""


class JobTime:
    """The time of one job on its device: it begins when its message is sent, and only sleeping moves it.

    What the job computes takes no time of it: that is known when the job is over and counted.
    """

    def __init__(self, start_s: float) -> None:
        self.now_s = self._start_s = start_s

    def sleep(self, duration_s: float) -> None:
        """Keep the device, without computing."""
        self.now_s += duration_s

    @property
    def slept_s(self) -> float:
        """How long the job has slept."""
        return self.now_s - self._start_s


@dataclass(frozen=True)
class AppCode:
    """Tells an app's own code from everybody else's: by its folder, or by its package if it has none."""

    folder: Path | None = None
    package: str = ""

    def owns(self, module: Mapping[str, Any]) -> bool:
        """Tell whether a module, by its names, is the app's."""
        if self.folder is None:
            return str(module.get("__name__", "")).partition(".")[0] == self.package
        file = module.get("__file__")
        return isinstance(file, str) and _lies_in(file, self.folder)


@functools.cache
def _lies_in(file: str, folder: Path) -> bool:
    place = Path(file).resolve()
    return place.is_relative_to(folder) and "site-packages" not in place.parts


_running: list[tuple[AppCode, Timekeeper]] = []
"""The apps that run in this process, the innermost last: in one process a client runs while the server waits for it."""


def _slept(keeper: Timekeeper, duration_s: float) -> None:
    if not duration_s >= 0:
        raise ValueError("sleep length must be non-negative")
    if duration_s > LONGEST_SLEEP_S:
        raise OverflowError("timestamp out of range")
    keeper.sleep(float(duration_s))


def _read(offset_s: float, *, whole_ns: bool) -> Callable[[Timekeeper], float | int]:
    def read(keeper: Timekeeper) -> float | int:
        keeper.sleep(READING_S)
        now_s = offset_s + keeper.now_s
        return round(now_s / NANOSECOND_S) if whole_ns else now_s

    return read


_VIRTUAL: Final[Mapping[str, Callable[..., Any]]] = {
    "sleep": _slept,
    "time": _read(EPOCH_S, whole_ns=False),
    "time_ns": _read(EPOCH_S, whole_ns=True),
    "monotonic": _read(0.0, whole_ns=False),
    "monotonic_ns": _read(0.0, whole_ns=True),
    "perf_counter": _read(0.0, whole_ns=False),
    "perf_counter_ns": _read(0.0, whole_ns=True),
}


def _stand_in(name: str) -> Callable[..., Any]:
    real, virtual = getattr(time, name), _VIRTUAL[name]

    @functools.wraps(real)
    def function(*arguments: Any) -> Any:
        if _running:
            code, keeper = _running[-1]
            # Who calls is what decides; this is the documented way to see one's caller.
            if code.owns(sys._getframe(1).f_globals):  # noqa: SLF001
                return virtual(keeper, *arguments)
        return real(*arguments)

    return function


_REAL: Final = {name: getattr(time, name) for name in _VIRTUAL}
_STAND_INS: Final = {name: _stand_in(name) for name in _VIRTUAL}


@contextmanager
def app_time(code: AppCode, keeper: Timekeeper) -> Iterator[None]:
    """Give an app's code the time of a keeper, and only while it runs."""
    _running.append((code, keeper))
    vars(time).update(_STAND_INS)
    try:
        yield
    finally:
        _running.pop()
        if not _running:
            vars(time).update(_REAL)


def adopt(code: AppCode) -> None:
    """Give modules of an app that said `from time import sleep` before it ran the functions that ask who calls.

    They keep them: when no app runs these are the real ones by another name.
    """
    stand_in_of = {real: _STAND_INS[name] for name, real in _REAL.items()}
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        if not code.owns(names):
            continue
        for name, value in list(names.items()):
            if isinstance(value, BuiltinFunctionType) and value in stand_in_of:
                names[name] = stand_in_of[value]
