"""The life of client jobs in virtual time, priced at once for a whole batch: a pure function.

    downlink -> local training -> uplink

A job runs until it is done or until the first thing stops it: the charger is pulled, the network lost, the battery at
its floor, a budget used up. Up to that moment everything is charged, and the tail of the radio that follows its last
transfer; nothing else happens after it. A device begins no transfer whose tail it could not pay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.fleet.outcomes import Outcome

if TYPE_CHECKING:
    from fedlite.devices.channels import Transfer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Phases:
    """What each of n jobs would cost if nothing stopped it, and what may stop it. All arrays have shape (n,).

    `refused` holds an outcome code for jobs that the device does not even start (no memory, no storage, ...) and
    `Outcome.ARRIVED.code` for the others. Limits are infinite where there is none.
    """

    refused: NDArray[np.int8]
    down: Transfer
    train_s: Floats
    up: Transfer
    train_j: Floats
    tail_s: Floats
    """How long the radio stays awake after its last byte."""
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
    cap_s: Floats
    """How long a device works on a job before it gives up."""


@dataclass(frozen=True)
class Timeline:
    """What really happened to n jobs. All arrays have shape (n,); `outcome` holds codes of `Outcome`."""

    outcome: NDArray[np.int8]
    down_s: Floats
    train_s: Floats
    up_s: Floats
    radio_j: Floats
    tail_j: Floats
    """The part of `radio_j` that went into tails."""
    compute_j: Floats
    down_share: Floats
    """Share of the downlink that went through, in [0, 1]; likewise for the uplink."""
    up_share: Floats
    awake_s: Floats
    """Seconds from the start until the radio falls asleep after the job; -infinity if the job never woke it."""

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
    Outcome.TIMED_OUT,
)
_CODES = np.array([outcome.code for outcome in _STOPPERS], dtype=np.int8)


def run(phases: Phases) -> Timeline:
    """Return what happens to each job; a job stopped exactly as it ends has ended."""
    down, up = phases.down, phases.up
    lengths_s = np.stack([down.ramp_s, down.active_s, phases.train_s, up.ramp_s, up.active_s])
    ends_s = np.cumsum(lengths_s, axis=0)
    begins_s = np.concatenate([np.zeros((1, lengths_s.shape[1])), ends_s[:-1]])
    total_s = ends_s[-1]
    stops = np.stack(
        [
            np.where(phases.train_s > phases.cpu_limit_s, ends_s[_DOWN] + phases.cpu_limit_s, np.inf),
            _time_of_energy(phases, phases.energy_limit_j, 0.0),
            _time_of_energy(phases, phases.battery_limit_j, phases.idle_w),
            phases.unplugged_s,
            phases.offline_s,
            phases.interrupted_s,
            phases.cap_s,
        ]
    )
    first = np.argmin(stops, axis=0)
    stop_s = stops[first, np.arange(len(first))]
    outcome = np.where(stop_s < total_s, _CODES[first], np.int8(Outcome.ARRIVED.code))
    refused = phases.refused != Outcome.ARRIVED.code
    outcome = np.where(refused, phases.refused, outcome).astype(np.int8)
    end_s = np.where(refused, 0.0, np.minimum(stop_s, total_s))
    done = (ends_s <= end_s) & ~refused
    spent_s = np.where(done, lengths_s, np.clip(end_s - begins_s, 0.0, lengths_s))
    # What takes no time is done as soon as it is reached.
    share = np.divide(spent_s, lengths_s, out=done.astype(np.float64), where=lengths_s > 0)
    down_s, up_s = spent_s[0] + spent_s[_DOWN], spent_s[3] + spent_s[_UP]
    tail_j = down.tail_j * (down_s > 0) + up.tail_j * (up_s > 0)
    moving_j = down.ramp_j * share[0] + down.active_j * share[_DOWN] + up.ramp_j * share[3] + up.active_j * share[_UP]
    last_s = np.where(up_s > 0, end_s, np.where(down_s > 0, np.minimum(end_s, ends_s[_DOWN]), -np.inf))
    return Timeline(
        outcome,
        down_s,
        spent_s[_TRAIN],
        up_s,
        radio_j=moving_j + tail_j,
        tail_j=tail_j,
        compute_j=phases.train_j * share[_TRAIN],
        down_share=share[_DOWN],
        up_share=share[_UP],
        awake_s=last_s + phases.tail_s,
    )


_DOWN, _TRAIN, _UP = 1, 2, 4
"""Where the downlink (after its ramp), the training and the uplink (after its ramp) stand in the order of a job."""


def _time_of_energy(phases: Phases, limit_j: Floats, beside_w: Floats | float) -> Floats:
    """Return when the job and a steady draw beside it have used up the limit, infinity if they never do.

    The energy of a part is spent evenly over it, and a tail is bespoken as its transfer begins.
    """
    reached = np.full(limit_j.shape, np.inf)
    if np.isinf(limit_j).all():
        return reached
    down, up = phases.down, phases.up
    left, time = limit_j, np.zeros_like(limit_j)
    for bespoken_j, duration, job_j in (
        (down.tail_j, down.ramp_s, down.ramp_j),
        (0.0, down.active_s, down.active_j),
        (0.0, phases.train_s, phases.train_j),
        (up.tail_j, up.ramp_s, up.ramp_j),
        (0.0, up.active_s, up.active_j),
    ):
        left = left - bespoken_j
        energy = job_j + beside_w * duration
        runs_out = (energy > left) & np.isinf(reached)
        # Where the tail alone is too much, nothing of the transfer begins.
        share = np.divide(np.clip(left, 0.0, energy), energy, out=np.zeros_like(energy), where=energy > 0)
        reached = np.where(runs_out, time + share * duration, reached)
        left, time = left - energy, time + duration
    return reached
