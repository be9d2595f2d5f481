"""The generic runtime: any Flower ClientApp, message by message."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.engine.task import WorkerSpec
from fedlite.flower.app_classes import AppClass
from fedlite.flower.app_exchange import AppExchange

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flwr.app import Message

    from fedlite.devices.profile import DeviceProfile
    from fedlite.engine.pool import Pool
    from fedlite.flower.app_prices import AppPrices
    from fedlite.flower.exchange import Exchange

Ids = NDArray[np.int64]

_log = logging.getLogger(__name__)


class AppRuntime:
    """Answers messages with a ClientApp.

    Parameters
    ----------
    pool : Pool
        Runs jobs on `AppWorker`s.
    profiles : sequence of DeviceProfile
    profile_of : ndarray, shape (N,)
        The profile of each device.
    prices : AppPrices
    seed : int
        Names the streams that the app's own random draws come from.
    partitions : int, optional
        What nodes are told as `num-partitions`; one per device if not given. Device d gets partition `d % partitions`.
    classes : sequence of AppClass, optional
        What holds for the devices of each profile; without it everything fits, and travels as Flower sends it.
    drops_diverged : bool
        Whether replies with numbers that are none never reach the strategy.
    """

    def __init__(
        self,
        pool: Pool,
        profiles: Sequence[DeviceProfile],
        profile_of: NDArray[np.int16],
        prices: AppPrices,
        *,
        seed: int,
        partitions: int | None = None,
        classes: Sequence[AppClass] | None = None,
        drops_diverged: bool = False,
    ) -> None:
        self.pool = pool
        self.prices = prices
        self.profile_of = profile_of
        self.seed = seed
        self.classes = classes or [AppClass()] * len(profiles)
        self.modes: set[str] = set()
        """Execution modes of fedlite's trainer: an app uses none."""
        self._profiles = profiles
        self._partitions = partitions or len(profile_of)
        self.states: dict[int, bytes] = {}
        """Each device's context state, as it was after its last reply that arrived."""
        self.counts: dict[str, Mapping[str, Any]] = {}
        """Work by shape of job, counted once."""
        self.drops_diverged = drops_diverged
        self.tracebacks: dict[str, str] = {}
        """The first traceback of each error of a job's code, by its `failure_key`."""
        self.tested: dict[int, Mapping[str, float]] = {}
        """What each device's last evaluation that arrived told."""
        self.misfits: dict[str, str] = {}
        """Why the app can never run on devices of a profile."""
        if prices.memory_declared:
            self.tell_misfits("train", None, 0.0)

    def tell_misfits(self, kind: str, count: Mapping[str, Any] | None, down_bytes: float) -> None:
        """Tell of every class, once, on which jobs of this work can never run."""
        found: dict[str, str] = {}
        for position, (profile, mine) in enumerate(zip(self._profiles, self.classes, strict=True)):
            reason = mine.misfit(kind, self.prices.of(kind, count, position).peak_bytes, down_bytes)
            if reason is not None and profile.name not in self.misfits:
                found[profile.name] = reason
        if found:
            first, reason = next(iter(found.items()))
            _log.warning(
                "fleet.mix: got %s, which can never take part: on %s %s; leave out who cannot, or make the app smaller",
                ", ".join(found),
                first,
                reason,
            )
        self.misfits |= found

    def open(self, messages: Sequence[Message], devices: Ids, now_s: float) -> Exchange:
        """Begin an exchange."""
        return AppExchange(self, messages, devices, now_s)

    def node_config(self, device: int) -> dict[str, Any]:
        """Return what a node knows of itself: Flower's own keys, and what kind of device it is."""
        profile = self._profiles[int(self.profile_of[device])]
        return {
            "partition-id": device % self._partitions,
            "num-partitions": self._partitions,
            "fedlite-profile": profile.name,
            "fedlite-tier": str(profile.tier),
        }


def worker_spec(client: str, folder: Path | None, run_config: Mapping[str, Any], run_id: int = 1) -> WorkerSpec:
    """Return how an actor builds its worker for a ClientApp, as `package.module:app` in an app's folder."""
    options = {
        "client": client,
        "folder": str(folder or ""),
        "run_config": dict(run_config),
        "run_id": run_id,
    }
    return WorkerSpec("fedlite.flower.app_worker:AppWorker", options)
