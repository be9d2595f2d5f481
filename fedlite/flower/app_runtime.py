"""The generic runtime: any Flower ClientApp, message by message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.engine.task import WorkerSpec
from fedlite.flower.app_exchange import AppExchange
from fedlite.flower.app_wire import AppWire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flwr.app import Message

    from fedlite.devices.profile import DeviceProfile
    from fedlite.engine.pool import Pool
    from fedlite.flower.app_prices import AppPrices
    from fedlite.flower.exchange import Exchange

Ids = NDArray[np.int64]


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
    wire : AppWire, optional
        How arrays are encoded; without it messages travel as Flower sends them.
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
        wire: AppWire | None = None,
    ) -> None:
        self.pool = pool
        self.prices = prices
        self.profile_of = profile_of
        self.seed = seed
        self.wire = wire or AppWire()
        self.modes: set[str] = set()
        """Execution modes of fedlite's trainer: an app uses none."""
        self._profiles = profiles
        self._partitions = partitions or len(profile_of)
        self.states: dict[int, bytes] = {}
        """Each device's context state, as it was after its last reply that arrived."""
        self.counts: dict[str, Mapping[str, Any]] = {}
        """Work by shape of job, counted once."""
        self.tracebacks: dict[str, str] = {}
        """The first traceback of each reason for which a job's code failed."""
        self.tested: dict[int, Mapping[str, float]] = {}
        """What each device's last evaluation that arrived told."""

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
