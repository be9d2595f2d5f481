"""From a strategy to waves: which devices are let in when. A ramp is cut where its rate changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fedlite.rollout.strategy import Ramp, Stage, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fedlite.rollout.delivery import Delivery

    Ids = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]


class Server(Protocol):
    """What serves those who are let in."""

    def deliver(self, devices: Ids, let_in_s: Floats) -> Delivery:
        """Return what would become of devices that were let in at these times; changes nothing."""

    def accept(self, devices: Ids, let_in_s: Floats, delivery: Delivery) -> None:
        """Let it be so."""

    def served_s(self, devices: Ids, share: float) -> float:
        """Return when a share of devices that were let in run the new model, infinity if they never do."""


@dataclass(frozen=True)
class Stretch:
    """Devices that were let in between two times, after which gates may be asked."""

    label: str
    number: int
    begin_s: float
    end_s: float
    analyses: tuple[str, ...]


class Letting:
    """Who can still be let in, and in which order.

    Parameters
    ----------
    can : ndarray of bool, shape (N,)
        Devices that can be let in at all.
    rank : ndarray, shape (N,)
        Uniform in [0, 1).
    profile : ndarray of int, shape (N,)
    """

    def __init__(self, can: Bools, rank: Floats, profile: Ids) -> None:
        self._profile = profile
        self._in = np.zeros(len(can), dtype=bool)
        able = np.flatnonzero(can)
        self._order = able[np.argsort(rank[able], kind="stable")]

    def stage(self, stage: Stage) -> tuple[Ids, Ids]:
        """Let in whom a stage wants; return all that it wants, and those of them that were not in before."""
        meant = self._order if stage.profiles is None else self._order[stage.profiles[self._profile[self._order]]]
        chosen = meant[: stage.size(len(meant))]
        new = chosen[~self._in[chosen]]
        self.enter(new)
        return chosen, new

    def next(self, count: int) -> Ids:
        """Return the next so many devices in order, without letting them in."""
        left = self._order[~self._in[self._order]]
        return left[:count]

    def enter(self, devices: Ids) -> None:
        """Let devices in."""
        self._in[devices] = True


def waves(strategy: Strategy, letting: Letting, start_s: float, horizon_s: float, server: Server) -> Iterator[Stretch]:
    """Let devices in and deliver to them, wave by wave, up to the horizon."""
    if isinstance(strategy, Ramp):
        yield from _ramped(strategy, letting, start_s, horizon_s, server)
        return
    now_s = start_s
    for stage in strategy:
        if now_s >= horizon_s:
            return
        wanted, devices = letting.stage(stage)
        at_s = np.full(len(devices), now_s)
        server.accept(devices, at_s, server.deliver(devices, at_s))
        end_s = now_s + stage.hold_s
        if stage.installed is not None:
            end_s = max(end_s, server.served_s(wanted, stage.installed))
        yield Stretch(
            stage.label, stage.number, now_s, min(end_s, horizon_s), stage.analyses if end_s < horizon_s else ()
        )
        now_s = end_s + stage.waits_s


def _ramped(ramp: Ramp, letting: Letting, start_s: float, horizon_s: float, server: Server) -> Iterator[Stretch]:
    now_s, rate, let_in, served_s = start_s, ramp.base_per_s, 0, np.empty(0)
    goal, number = ramp.after, 0
    while now_s < horizon_s:
        devices = letting.next(max(1, goal - let_in) if not ramp.of_succeeded else ramp.after)
        if not devices.size:
            return
        at_s = now_s + np.arange(len(devices)) / rate
        devices, at_s = devices[at_s < horizon_s], at_s[at_s < horizon_s]
        delivery = server.deliver(devices, at_s)
        end_s = min(float(at_s[-1]) + 1.0 / rate, horizon_s)
        reached_s = _reached_s(np.concatenate([served_s, delivery.runs_s]), goal) if ramp.of_succeeded else end_s
        if reached_s < end_s:
            # The rate changes in the midst of these devices: those that come after are let in anew.
            kept = int(np.searchsorted(at_s, reached_s, side="right"))
            devices, at_s, delivery = devices[:kept], at_s[:kept], delivery.first(kept)
            end_s = max(reached_s, float(at_s[0]))
        letting.enter(devices)
        server.accept(devices, at_s, delivery)
        let_in += len(devices)
        served_s = np.concatenate([served_s, delivery.runs_s])
        number += 1
        yield Stretch(f"{60 * rate:.6g} per minute", number, now_s, end_s, ())
        now_s = end_s
        while (let_in if not ramp.of_succeeded else int((served_s <= now_s).sum())) >= goal:
            rate, goal = min(rate * ramp.factor, ramp.most_per_s), goal + ramp.after


def _reached_s(done_s: Floats, goal: int) -> float:
    """Return when so many devices have the new model, infinity if that is not known to happen."""
    return float(np.partition(done_s, goal - 1)[goal - 1]) if len(done_s) >= goal else np.inf
