"""A fleet under a protocol whose jobs take a stated time and compute nothing: what remains is who comes, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict

from fedlite import rng
from fedlite.compose import fleet as compose_fleet
from fedlite.compose.protocol import policy
from fedlite.fleet.booking import Facts
from fedlite.fleet.demands import Demands
from fedlite.fleet.ledger import Ledger
from fedlite.flower.grid import FleetGrid
from fedlite.scenario.loader import load_fleet
from fedlite.scenario.profiles import load_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fedlite.fleet.state import Fleet
    from fedlite.scenario.schema import FleetScenario

MODEL_BYTES = 1.4e6
"""Of a model of 1.4 million parameters in int8, as Bonawitz et al. 2019 trained; down twice that, up once."""
TRAIN_MEDIAN_S, TRAIN_SIGMA = 90.0, 0.35
"""The training time that all checks rest on: lognormal. Assumed; chosen so that rounds take 2 to 3 minutes."""


@dataclass
class TimedJobs:
    """A runtime whose clients take `TRAIN_MEDIAN_S` in the median, whatever their device."""

    seed: int
    asked: NDArray[np.int32]
    tracebacks: Mapping[str, str] = field(default_factory=dict)

    def open(self, messages: Sequence[Message], devices: NDArray[np.int64], now_s: float) -> TimedExchange:
        bell = rng.normal(self.seed, "training time", devices, self.asked[devices])
        self.asked[devices] += 1
        return TimedExchange(TRAIN_MEDIAN_S * np.exp(TRAIN_SIGMA * bell))


@dataclass
class TimedExchange:
    """See `fedlite.flower.exchange.Exchange`."""

    train_s: NDArray[np.float64]
    final: bool = True

    @property
    def demands(self) -> Demands:
        n = np.zeros(len(self.train_s))
        return Demands(
            n + 2 * MODEL_BYTES, n + MODEL_BYTES, train_s=n, peak_bytes=n, storage_bytes=n, slept_s=self.train_s
        )

    @property
    def facts(self) -> Facts:
        n = len(self.train_s)
        none, one = np.zeros(n, dtype=np.int64), np.ones(n)
        words = np.full(n, "timed")
        return Facts(words, none, none, none, none, one * np.nan, np.full(n, "", object), one, one, one < 0)

    def start(self, arriving: Any, uploading: Any) -> None: ...

    def finish(self) -> None: ...

    def settle(self, arrived: Any) -> None: ...

    def replies(self, arrived: NDArray[np.bool_]) -> list[RecordDict | None]:
        return [RecordDict() if came else None for came in arrived.tolist()]


def open_fleet(path: Path, **changes: Any) -> tuple[FleetScenario, Fleet]:
    """Return the fleet of a scenario file; `changes` are keys with double underscores for dots."""
    scenario = load_fleet(path, {key.replace("__", "."): value for key, value in changes.items()})
    profiles = [load_profile(name) for name in scenario.fleet.mix]
    return scenario, compose_fleet.build(scenario, profiles, [False] * len(profiles))


@dataclass(frozen=True)
class Rounds:
    """Rounds that were served, and the ledger of their jobs."""

    began_s: NDArray[np.float64]
    ended_s: NDArray[np.float64]
    ledger: dict[str, NDArray[Any]]
    fleet: Fleet


def serve(path: Path, days: float, **changes: Any) -> Rounds:
    """Serve rounds of jobs that compute nothing for some days."""
    scenario, fleet = open_fleet(path, **changes)
    first = scenario.cohort if scenario.over_select > 1 else None
    ledger = Ledger()
    start_s = scenario.fleet.start_s
    runtime = TimedJobs(scenario.seed, np.zeros(len(fleet), dtype=np.int32))
    grid = FleetGrid(fleet, runtime, ledger, policy=policy(scenario, first), start_s=start_s)
    began, ended = [], []
    content = RecordDict({"arrays": ArrayRecord()})
    while grid.now_s < start_s + days * 86_400.0:
        nodes = grid.get_node_ids()
        began.append(grid.now_s)
        grid.send_and_receive([Message(content, node, "train") for node in nodes])
        ended.append(grid.now_s)
    return Rounds(np.array(began), np.array(ended), ledger.columns(0, ("device", "start_s", "end_s", "outcome")), fleet)
