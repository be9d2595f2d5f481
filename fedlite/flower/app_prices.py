"""What counted or declared work of foreign client code costs on each profile; never the host's time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Declared:
    """What the user says that one job of the app takes, where counting cannot see it (numpy, native code).

    None means: count it. Declared `macs` hold for train and evaluate messages; others then cost their bytes only.
    """

    macs: float | None = None
    memory_bytes: float | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("macs", self.macs, 1.0), ("memory", self.memory_bytes, 1.0)):
            if value is not None and not least <= value <= MOST_DECLARED:
                raise FedliteError(
                    f"{name}: got {value:g}, expected from {least:g} to {MOST_DECLARED:g}; declare what one job takes"
                )


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
        self.declared = declared or Declared()
        self._known: dict[tuple[int, int], JobCost] = {}

    def of(self, kind: str, count: Mapping[str, Any] | None, profile: int, *, failed: bool = False) -> JobCost:
        """Return what a job costs on a profile.

        Parameters
        ----------
        kind : str
            Category of the message: "train", "evaluate", "query" ...
        count : mapping, optional
            What `AppWorker` counted; None if the work is declared.
        profile : int
            Position of the profile.
        failed : bool
            Whether the job raised: it may then have done nothing worth counting.

        Raises
        ------
        FedliteError
            If a job that learns or tests did nothing that counting can see.
        """
        if count is None:
            return self._declared(kind, self._profiles[profile])
        if kind in ("train", "evaluate") and not failed and not _macs(count):
            raise FedliteError(
                f"app: got a {kind} job in which no multiply-accumulate of torch was seen, so its time on a device"
                " cannot be told (counting sees torch in the client's own thread, not numpy, worker processes or native"
                " code); declare it: --macs 2e6, or task.app.macs in a scenario"
            )
        # Counts are cached by the runtime and never change, so their identity names them.
        key = (id(count), profile)
        if key not in self._known:
            self._known[key] = self._counted(count, self._profiles[profile])
        return self._known[key]

    def _declared(self, kind: str, profile: DeviceProfile) -> JobCost:
        peak_bytes = self.declared.memory_bytes or 0.0
        if self.declared.macs is None or kind not in ("train", "evaluate"):
            return JobCost(peak_bytes=peak_bytes)
        # Nobody said of which kind the declared work is; ordinary convolutions are the middle of the classes.
        return _cost(compute.work_s(profile, {OpClass.CONV_OTHER: round(self.declared.macs)}), peak_bytes, 0)

    def _counted(self, count: Mapping[str, Any], profile: DeviceProfile) -> JobCost:
        time = compute.work_s(profile, _macs(count), float(count["elementwise_bytes"]))
        declared_bytes = self.declared.memory_bytes
        peak_bytes = float(count["peak_bytes"]) + memory.RUNTIME_BYTES if declared_bytes is None else declared_bytes
        return _cost(time, peak_bytes, int(count["optimizer_steps"]))


def _cost(time: Estimate, peak_bytes: float, steps: int) -> JobCost:
    value = float(time.value)
    if value <= 0:
        return JobCost(peak_bytes=peak_bytes, steps=steps)
    return JobCost(value, peak_bytes, float(time.low) / value, float(time.high) / value, steps)


def _macs(count: Mapping[str, Any]) -> dict[OpClass, int]:
    total = Counter(count["forward_macs"]) + Counter(count["backward_macs"])
    return {OpClass(op): int(macs) for op, macs in sorted(total.items())}
