"""Clients side by side: one step of all clients of a tile is one set of tensor operations.

Clients are sorted by their number of steps, the longest first, so that the clients still training are always the head
of the stack and the others are simply left out. Batches that are shorter than their neighbours' are padded with samples
of weight 0. Per client the arithmetic is that of the sequential mode; only the order of sums inside a kernel differs.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch

from fedlite.learning.training.optimiser import Optimiser
from fedlite.learning.training.place import Table, to_host
from fedlite.learning.training.records import Array, ClientJob, CohortResult, LocalConfig
from fedlite.learning.training.schedule import schedules
from fedlite.learning.training.tile import Tile, tile_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from fedlite.learning.training.constrained import Constrained
    from fedlite.learning.training.gradients import Gradients
    from fedlite.learning.training.place import Place
    from fedlite.learning.training.template import Template


def train_batched(
    template: Template,
    gradients: Gradients,
    tile_clients: int,
    arrays: Sequence[Array],
    jobs: Sequence[ClientJob],
    x: Table,
    y: Table,
    config: LocalConfig,
    bound: Constrained,
) -> CohortResult:
    """Train every job from the same `arrays`, `tile_clients` at a time.

    Parameters
    ----------
    template : Template
        Names and order of the state.
    gradients : Gradients
        Computes the gradients and losses of one step.
    tile_clients : int
        Clients that run together.
    arrays, jobs, x, y, config
        As in `Trainer.train`.
    bound : Constrained
        The constraints of all jobs together.
    """
    template.model.train()  # a module that is mapped over clients may do other things in training than in tests
    plans = schedules(jobs, config)
    steps = np.array([plan.steps for plan in plans], dtype=np.int64)
    order = np.argsort(-steps, kind="stable")
    place = template.place
    parameters = [_repeated(place.copied(arrays[i]), len(jobs)) for i in template.trainable]
    losses = np.full(len(jobs), np.nan)
    for begin in range(0, len(jobs), tile_clients):
        members = order[begin : begin + tile_clients]
        tile = tile_of([plans[k] for k in members])
        part = [parameter[begin : begin + tile_clients] for parameter in parameters]
        # Without autograd, torch can leave out its bookkeeping: a sixth of the time of small tiles.
        with nullcontext() if gradients.autograd else torch.inference_mode():
            losses[members] = _train_tile(gradients, tile, part, x, y, config, bound, place)
    stack = [np.repeat(np.asarray(array)[None], len(jobs), axis=0) for array in arrays]
    for i, parameter in zip(template.trainable, parameters, strict=True):
        stack[i] = to_host(parameter)
    if not np.array_equal(order, np.arange(len(jobs))):
        back = np.argsort(order)
        stack = [array[back] for array in stack]
    sizes = np.array([len(job.indices) for job in jobs], dtype=np.int64)
    losses[steps == 0] = np.nan
    return CohortResult(
        stack,
        sizes,
        losses,
        steps,
        "batched",
        start=bound.start(arrays, template.trainable),
        held=bound.held(arrays, template.trainable),
        memories=[{} for _ in jobs],
    )


def _train_tile(
    gradients: Gradients,
    tile: Tile,
    parameters: list[Tensor],
    x: Table,
    y: Table,
    config: LocalConfig,
    bound: Constrained,
    place: Place,
) -> NDArray[np.float64]:
    """Train the clients of one tile in place and return their mean losses over the last epoch."""
    optimiser = Optimiser(config, parameters, bound, stacked=True)
    _, clients, batch = tile.rows.shape
    labels = y.take(y.index(tile.rows)).unbind()
    weights, reported = (place.given(shares).unbind() for shares in (tile.weights, tile.reported))
    counts = np.asarray(tile.reported.any(axis=(1, 2)))
    told: list[Tensor] = []
    for step, rows in enumerate(x.index(tile.rows)):
        active, width = int(tile.active[step]), int(tile.width[step])
        whole = active == clients and width == batch
        part = (slice(active), slice(width))
        inputs = x.take(rows if whole else rows[part])
        head = parameters if active == clients else [parameter[:active] for parameter in parameters]
        batch_labels, batch_weights, shares = (
            values[step] if whole else values[step][part] for values in (labels, weights, reported)
        )
        found, losses = gradients.step(head, inputs, batch_labels, batch_weights)
        optimiser.step(bound.gradients(found, stacked=True), None if active == clients else active)
        if counts[step]:
            told.append((losses * shares).sum(dim=1))
    return _summed(told, clients)


def _repeated(tensor: Tensor, clients: int) -> Tensor:
    """Return (K, *shape), of which every client changes its own."""
    return tensor[None].expand(clients, *tensor.shape).contiguous()


def _summed(told: Sequence[Tensor], clients: int) -> NDArray[np.float64]:
    """Return the sums over steps of what the clients still active lost; read at the end, where a device may stop."""
    total = np.zeros(clients)
    if told:
        losses = np.split(to_host(torch.cat(list(told))), np.cumsum([len(each) for each in told])[:-1])
        for each in losses:
            total[: len(each)] += each
    return total
