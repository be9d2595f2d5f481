"""Which samples each client uses at each step: one table per chunk, the same in every execution mode.

The order of a client's samples in epoch e is the sorting order of one random key per (job seed, e, position), a pure
function. So a client sees the same batches alone, in a chunk, or in another process, and no generator is built for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fedlite import rng

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.learning.training.records import ClientJob, LocalConfig

_SEED_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Schedule:
    """The batches of one job.

    Attributes
    ----------
    rows : NDArray[int64]
        Rows of the shared data in the order of use, all epochs after each other, shape (used,).
    bounds : NDArray[int64]
        Step s uses `rows[bounds[s]:bounds[s + 1]]`, shape (steps + 1,).
    last_epoch : int
        The first step of the last epoch, over which the training loss is averaged.
    """

    rows: NDArray[np.int64]
    bounds: NDArray[np.int64]
    last_epoch: int

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        return len(self.bounds) - 1


def schedules(jobs: Sequence[ClientJob], config: LocalConfig) -> list[Schedule]:
    """Return the batches of every job."""
    sizes = np.array([len(job.indices) for job in jobs], dtype=np.int64)
    epochs = [_orders(jobs, sizes, epoch) for epoch in range(_epochs_needed(sizes, config))]
    return [_schedule(job, [order[k] for order in epochs], config) for k, job in enumerate(jobs)]


def _epochs_needed(sizes: NDArray[np.int64], config: LocalConfig) -> int:
    if config.max_steps is None or not len(sizes) or not sizes.any():
        return config.epochs
    per_epoch = -(-int(sizes[sizes > 0].min()) // config.batch_size)
    return min(config.epochs, -(-config.max_steps // per_epoch))


def _orders(jobs: Sequence[ClientJob], sizes: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
    """Return the order of positions in one epoch, shape (K, longest); only the first n of a row are meant."""
    longest = int(sizes.max(initial=0))
    seeds = np.array([job.seed & _SEED_MASK for job in jobs], dtype=np.uint64)
    position = np.arange(longest, dtype=np.int64)
    keys = rng.uniform(0, "training/batches", seeds[:, None], position[None, :] + (epoch << 32))
    keys[position[None, :] >= sizes[:, None]] = np.inf
    return np.argsort(keys, axis=1, kind="stable")


def _schedule(job: ClientJob, orders: list[NDArray[np.int64]], config: LocalConfig) -> Schedule:
    size = len(job.indices)
    bounds, last_epoch = _bounds(size, config)
    used = int(bounds[-1])
    if used == 0:
        return Schedule(np.empty(0, dtype=np.int64), bounds, 0)
    positions = orders[0][:size] if used <= size else np.concatenate([order[:size] for order in orders])
    return Schedule(np.asarray(job.indices)[positions[:used]], bounds, last_epoch)


@lru_cache(maxsize=4096)
def _bounds(size: int, config: LocalConfig) -> tuple[NDArray[np.int64], int]:
    """Return where each step of a client of `size` samples begins, and the end; and its last epoch's first step."""
    steps = config.steps(size)
    if steps == 0:
        return np.zeros(1, dtype=np.int64), 0
    per_epoch = -(-size // config.batch_size)
    within = np.arange(per_epoch, dtype=np.int64) * config.batch_size
    starts = (np.arange(config.epochs, dtype=np.int64)[:, None] * size + within[None, :]).ravel()
    bounds = np.append(starts, config.epochs * size)[: steps + 1]
    bounds.setflags(write=False)
    return bounds, ((steps - 1) // per_epoch) * per_epoch
