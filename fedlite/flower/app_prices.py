"""What counted or declared work of foreign client code costs on each profile; never the host's time."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fedlite.devices import compute, memory
from fedlite.devices.workload import OpClass
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile


MOST_DECLARED = 1e18
"""Years of work on any device here, and more memory than any has."""
CATEGORIES = ("train", "evaluate", "query", "get_parameters", "get_properties")
"""What the types of Flower's messages begin with, those of its older clients too."""
WORKING = ("train", "evaluate")
"""Categories of messages that a number without a type is declared for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Declared:
    """What the user says that one job of the app takes, where counting cannot see it (numpy, native code).

    Attributes
    ----------
    macs : mapping
        Multiply-accumulates by type of message: "train", or "train.setup" for one action of it. What is not named is
        counted, and the memory of all.
    memory_bytes : float, optional
        Peak memory of any job; counted if not given.
    """

    macs: Mapping[str, float] = field(default_factory=dict)
    memory_bytes: float | None = None

    def __post_init__(self) -> None:
        for kind, macs in self.macs.items():
            if kind.partition(".")[0] not in CATEGORIES:
                raise FedliteError(
                    f"macs: got {kind!r} as a type of message, expected {', '.join(CATEGORIES)}, or one action of these"
                    " such as 'train.setup'; mend the name"
                )
            if not 0 <= macs <= MOST_DECLARED:
                raise FedliteError(
                    f"macs of {kind}: got {macs:g}, expected from 0 to {MOST_DECLARED:g}; declare what one job takes"
                )
        if self.memory_bytes is not None and not 1 <= self.memory_bytes <= MOST_DECLARED:
            raise FedliteError(
                f"memory: got {self.memory_bytes:g}, expected from 1 to {MOST_DECLARED:g}; declare what one job takes"
            )

    @classmethod
    def working(cls, macs: float, memory_bytes: float | None = None) -> Declared:
        """Return the declaration of one number for every job that trains or tests."""
        return cls(dict.fromkeys(WORKING, macs), memory_bytes)

    def of(self, kind: str) -> float | None:
        """Return the multiply-accumulates declared for a type of message, None if they are to be counted."""
        return self.macs.get(kind, self.macs.get(kind.partition(".")[0]))


def declared_macs(texts: Sequence[str]) -> dict[str, float]:
    """Return multiply-accumulates by type of message, from "2e6" (all that trains or tests) or "train=2e6".

    What is said of one type holds for it, wherever it stands.

    Raises
    ------
    FedliteError
        If a text is neither.
    """
    typed: dict[str, float] = {}
    any_: dict[str, float] = {}
    for text in texts:
        kind, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError as error:
            raise FedliteError(
                f"--macs: got {text!r}, expected a number, or TYPE=NUMBER; write --macs 2e6 or --macs train=2e6"
            ) from error
        if equals:
            typed[kind] = value
        else:
            any_ = dict.fromkeys(WORKING, value)
    return any_ | typed


@dataclass(frozen=True)
class JobCost:
    """One job's time on the cold device, its memory, and the factors of the time's band."""

    time_s: float = 0.0
    peak_bytes: float = 0.0
    low: float = 1.0
    high: float = 1.0
    steps: int = 0


class AppPrices:
    """Prices of jobs, each (work, profile) computed once.

    Parameters
    ----------
    profiles : sequence of DeviceProfile
        Of the population, in its order.
    declared : Declared, optional
    """

    def __init__(self, profiles: Sequence[DeviceProfile], declared: Declared | None = None) -> None:
        self._profiles = profiles
        self._declared = declared or Declared()
        self._known: dict[tuple[str, int, int], JobCost] = {}
        self.uncounted: dict[str, None] = {}
        """Types of messages that learn or test, with a job in which counting saw no work: it costs its bytes only."""

    @property
    def memory_declared(self) -> bool:
        """Whether the memory of a job is declared, and known before one runs."""
        return self._declared.memory_bytes is not None

    def counts(self, kind: str) -> bool:
        """Tell whether jobs of a type of message are to be counted: their work, their memory or both."""
        return self._declared.of(kind) is None or not self.memory_declared

    def of(self, kind: str, count: Mapping[str, Any] | None, profile: int) -> JobCost:
        """Return what a job costs on a profile.

        Parameters
        ----------
        kind : str
            Type of the message: "train", "evaluate", "query", "train.setup" ...
        count : mapping, optional
            What `AppWorker` counted; None if work and memory are declared.
        profile : int
            Position of the profile.
        """
        macs = self._declared.of(kind)
        # Counts are cached by the runtime and never change, so their identity names them.
        key = (kind, id(count), profile)
        if key not in self._known:
            self._known[key] = self._cost(macs, count, self._profiles[profile])
        return self._known[key]

    def _cost(self, macs: float | None, count: Mapping[str, Any] | None, profile: DeviceProfile) -> JobCost:
        peak_bytes, steps, moved_bytes = self._declared.memory_bytes or 0.0, 0, 0.0
        # Nobody said of which kind declared work is; ordinary convolutions are the middle of the classes.
        work = {OpClass.CONV_OTHER: round(macs or 0.0)}
        if count is not None:
            steps = int(count["optimizer_steps"])
            if macs is None:
                work, moved_bytes = _macs(count), float(count["elementwise_bytes"])
            if not self.memory_declared:
                peak_bytes = float(count["peak_bytes"]) + memory.RUNTIME_BYTES
        return _cost(compute.work_s(profile, work, moved_bytes), peak_bytes, steps)

    def note_uncounted(self, kind: str, count: Mapping[str, Any]) -> None:
        """Tell, once per type of message, of a job that learned or tested without work that counting could see."""
        works = kind.partition(".")[0] in WORKING and self._declared.of(kind) is None
        if not works or _macs(count) or kind in self.uncounted:
            return
        self.uncounted[kind] = None
        _log.warning(
            "app: got jobs of type %s in which no multiply-accumulate of torch was seen (counting sees torch in the"
            " client's own thread, not numpy, worker processes or native code): they cost their bytes and hardly any"
            " time or energy; if they work, declare it: --macs %s=2e6, or task.app.macs in a scenario",
            kind,
            kind,
        )


def _cost(time: Estimate, peak_bytes: float, steps: int) -> JobCost:
    value = float(time.value)
    if value <= 0:
        return JobCost(peak_bytes=peak_bytes, steps=steps)
    return JobCost(value, peak_bytes, float(time.low) / value, float(time.high) / value, steps)


def _macs(count: Mapping[str, Any]) -> dict[OpClass, int]:
    total = Counter(count["forward_macs"]) + Counter(count["backward_macs"])
    return {OpClass(op): int(macs) for op, macs in sorted(total.items())}
