"""The batches of clients that run together, padded to one shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.learning.training.schedule import Schedule


@dataclass(frozen=True)
class Tile:
    """The batches of the clients that run together, padded to one shape.

    Attributes
    ----------
    rows : NDArray[int64]
        Rows of the shared data, shape (steps, K, B); padding repeats the batch's last row.
    weights : NDArray[float32]
        1 / (samples in the batch), 0 for padding, shape (steps, K, B).
    reported : NDArray[float32]
        Share of the sample in the reported loss of its client, shape (steps, K, B).
    active : NDArray[int64]
        Clients still training at each step, shape (steps,).
    width : NDArray[int64]
        Samples in the longest batch of each step, shape (steps,).
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float32]
    reported: NDArray[np.float32]
    active: NDArray[np.int64]
    width: NDArray[np.int64]


def tile_of(plans: Sequence[Schedule]) -> Tile:
    """Return the padded batches of clients that are sorted by descending number of steps."""
    steps = max((plan.steps for plan in plans), default=0)
    sizes = np.zeros((steps, len(plans)), dtype=np.int64)
    last = np.zeros((steps, len(plans)), dtype=bool)
    alike: dict[tuple[bytes, int], list[int]] = {}
    for k, plan in enumerate(plans):
        alike.setdefault((plan.bounds.tobytes(), plan.last_epoch), []).append(k)
    for members in alike.values():
        plan = plans[members[0]]
        sizes[: plan.steps, members] = np.diff(plan.bounds)[:, None]
        last[plan.last_epoch : plan.steps, members] = True
    batch = int(sizes.max(initial=0))
    rows = np.zeros((steps, len(plans), batch), dtype=np.int64)
    for members in alike.values():
        plan = plans[members[0]]
        used = np.minimum(plan.bounds[:-1, None] + np.arange(batch), plan.bounds[1:, None] - 1)
        rows[: plan.steps, members] = np.stack([plans[k].rows for k in members])[:, used].swapaxes(0, 1)
    valid = np.arange(batch)[None, None, :] < sizes[:, :, None]
    weights = valid / np.maximum(sizes, 1)[:, :, None]
    reported = valid * last[:, :, None]
    reported = reported / np.maximum(reported.sum(axis=(0, 2), keepdims=True), 1)
    active = np.count_nonzero(sizes, axis=1)
    return Tile(rows, weights.astype(np.float32), reported.astype(np.float32), active, sizes.max(axis=1, initial=0))
