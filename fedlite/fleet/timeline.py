"""The life of client jobs in virtual time, priced at once for a whole batch: a pure function.

    downlink -> local training -> uplink

A job runs until it is done or until the first thing stops it: the charger is pulled, the network lost, the battery at
its floor, a budget used up. Up to that moment everything is charged; nothing after it happens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet.outcomes import Outcome

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Phases:
    """What each of n jobs would cost if nothing stopped it, and what may stop it. All arrays have shape (n,).

    `refused` holds an outcome code for jobs that the device does not even start (no memory, no storage, ...) and
    `Outcome.ARRIVED.code` for the others. Limits are infinite where there is none.
    """

    refused: NDArray[np.int8]
    down_s: Floats
    train_s: Floats
    up_s: Floats
    down_j: Floats
    train_j: Floats
    up_j: Floats
    cpu_limit_s: Floats
    """Processor time a round may take."""
    energy_limit_j: Floats
    """What is left of the day's energy allowance."""
    battery_limit_j: Floats
    """Charge above the floor; infinite while plugged in or on mains."""
    idle_w: Floats
    """What the device draws from its battery beside the job."""
    unplugged_s: Floats
    """Seconds from now until the charger is pulled, if the rules need it; likewise the next two."""
    offline_s: Floats
    interrupted_s: Floats


@dataclass(frozen=True)
class Timeline:
    """What really happened to n jobs. All arrays have shape (n,); `outcome` holds codes of `Outcome`."""

    outcome: NDArray[np.int8]
    down_s: Floats
    train_s: Floats
    up_s: Floats
    radio_j: Floats
    compute_j: Floats
    down_share: Floats
    """Share of the downlink that went through, in [0, 1]; likewise for the uplink."""
    up_share: Floats

    @property
    def total_s(self) -> Floats:
        """Duration of what happened."""
        return self.down_s + self.train_s + self.up_s


# Where two limits fall on the same instant the first named wins: the order is part of the result.
_STOPPERS = (
    Outcome.CPU_BUDGET,
    Outcome.ENERGY_BUDGET,
    Outcome.BATTERY_EMPTY,
    Outcome.UNPLUGGED,
    Outcome.LOST_NETWORK,
    Outcome.INTERRUPTED,
)
_CODES = np.array([outcome.code for outcome in _STOPPERS], dtype=np.int8)


def run(phases: Phases) -> Timeline:
    """Return what happens to each job; a job stopped exactly as it ends has ended."""
    total_s = phases.down_s + phases.train_s + phases.up_s
    stops = np.stack(
        [
            np.where(phases.train_s > phases.cpu_limit_s, phases.down_s + phases.cpu_limit_s, np.inf),
            _time_of_energy(phases, phases.energy_limit_j, 0.0),
            _time_of_energy(phases, phases.battery_limit_j, phases.idle_w),
            phases.unplugged_s,
            phases.offline_s,
            phases.interrupted_s,
        ]
    )
    first = np.argmin(stops, axis=0)
    stop_s = stops[first, np.arange(len(first))]
    outcome = np.where(stop_s < total_s, _CODES[first], np.int8(Outcome.ARRIVED.code))
    refused = phases.refused != Outcome.ARRIVED.code
    outcome = np.where(refused, phases.refused, outcome).astype(np.int8)
    end_s = np.where(refused, 0.0, np.minimum(stop_s, total_s))
    down_s = np.minimum(phases.down_s, end_s)
    train_s = np.clip(end_s - phases.down_s, 0.0, phases.train_s)
    up_s = np.clip(end_s - phases.down_s - phases.train_s, 0.0, phases.up_s)
    down_share, train_share, up_share = (
        _share(down_s, phases.down_s),
        _share(train_s, phases.train_s),
        _share(up_s, phases.up_s),
    )
    # A phase that takes no time is done as soon as it is reached.
    train_share = np.where((phases.train_s == 0) & (down_share < 1), 0.0, train_share)
    up_share = np.where((phases.up_s == 0) & ((train_share < 1) | (down_share < 1)), 0.0, up_share)
    started = ~refused
    return Timeline(
        outcome,
        down_s,
        train_s,
        up_s,
        radio_j=started * (phases.down_j * down_share + phases.up_j * up_share),
        compute_j=started * phases.train_j * train_share,
        down_share=started * down_share,
        up_share=started * up_share,
    )


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.ones_like(whole), where=whole > 0)


def _time_of_energy(phases: Phases, limit_j: Floats, beside_w: Floats | float) -> Floats:
    """Return when the job and a steady draw beside it have used up the limit, infinity if they never do.

    The energy of a phase is spent evenly over it.
    """
    reached = np.full(limit_j.shape, np.inf)
    if np.isinf(limit_j).all():
        return reached
    left, time = limit_j, np.zeros_like(limit_j)
    for duration, job_j in (
        (phases.down_s, phases.down_j),
        (phases.train_s, phases.train_j),
        (phases.up_s, phases.up_j),
    ):
        energy = job_j + beside_w * duration
        runs_out = (energy > left) & np.isinf(reached)
        share = _share(np.clip(left, 0.0, energy), energy)
        reached = np.where(runs_out, time + share * duration, reached)
        left, time = left - energy, time + duration
    return reached
