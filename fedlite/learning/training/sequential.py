"""Clients one after the other: the plain training loop, and the yardstick of the cohort-batched one.

A job's whole data is gathered once; no DataLoader, no optimiser object, no `backward()` into `.grad`. What is left is
the forward pass, the gradient and the update.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from fedlite import rng
from fedlite.learning.training.loss import Loss
from fedlite.learning.training.optimiser import Optimiser
from fedlite.learning.training.place import Table, to_host
from fedlite.learning.training.records import Array, ClientJob, CohortResult, LocalConfig
from fedlite.learning.training.schedule import Schedule, schedules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from fedlite.learning.objectives import Objective
    from fedlite.learning.objectives.terms.base import Term
    from fedlite.learning.training.constrained import Constrained
    from fedlite.learning.training.template import Template


def train_sequentially(
    template: Template,
    arrays: Sequence[Array],
    jobs: Sequence[ClientJob],
    x: Table,
    y: Table,
    config: LocalConfig,
    objective: Objective,
    bound: Constrained,
    terms: Sequence[Term] = (),
    teacher: nn.Module | None = None,
) -> CohortResult:
    """Train every job from the same `arrays`, one after the other. The parameters are those of `Trainer.train`."""
    start = [template.place.copied(array) for array in arrays]
    stack = template.empty_stack(arrays, len(jobs))
    plans = schedules(jobs, config)
    losses = np.full(len(jobs), np.nan)
    template.model.train()
    for k, (job, plan) in enumerate(zip(jobs, plans, strict=True)):
        template.load(start)
        with template.place.draws(rng.seed_of(job.seed, "training/dropout")):
            draw = _drawing(template, job)
            loss = Loss(template, objective, bound, terms, config, teacher)
            losses[k] = _train_one(template, plan, x, y, config, loss, bound, draw)
        for target, tensor in zip(stack, template.state.values(), strict=True):
            target[k] = to_host(tensor)
    sizes = np.array([len(job.indices) for job in jobs], dtype=np.int64)
    steps = np.array([plan.steps for plan in plans], dtype=np.int64)
    return CohortResult(
        stack,
        sizes,
        losses,
        steps,
        "sequential",
        start=bound.start(arrays, template.trainable),
        held=bound.held(arrays, template.trainable),
        memories=[bound.memory() for _ in jobs],
    )


def _drawing(template: Template, job: ClientJob) -> Callable[[], None]:
    """Return what comes before every step: a net that trains a part of itself draws it, from a stream of the job's."""
    draw = getattr(template.model, "draw_part", None)
    return partial(draw, rng.stream(job.seed, "training/part")) if callable(draw) else lambda: None


def _train_one(
    template: Template,
    plan: Schedule,
    x: Table,
    y: Table,
    config: LocalConfig,
    loss: Loss,
    bound: Constrained,
    draw: Callable[[], None],
) -> float:
    """Train the loaded module in place and return its mean loss over the last epoch."""
    inputs = template.inputs(x.take(x.index(plan.rows)))
    inputs, labels = bound.rows(inputs, y.take(y.index(plan.rows)))
    targets = loss.targets(inputs, labels)
    told: list[tuple[Tensor, int]] = []
    loss.remember_received()
    with torch.no_grad():
        optimiser = Optimiser(config, [p.detach() for p in template.parameters], bound)
    for step in range(plan.steps):
        begin, end = int(plan.bounds[step]), int(plan.bounds[step + 1])
        draw()
        value, gradients = loss.step(inputs[begin:end], targets[begin:end])
        with torch.no_grad():
            optimiser.step(gradients)
        if step >= plan.last_epoch:
            told.append((value, end - begin))
    return _mean(told)


def _mean(told: Sequence[tuple[Tensor, int]]) -> float:
    """Return the mean of losses that count for so many samples; asked for once, as an accelerator then has to stop."""
    if not told:
        return float("nan")
    values = to_host(torch.stack([value for value, _ in told])).tolist()
    total = 0.0
    for value, (_, samples) in zip(values, told, strict=True):
        total += value * samples
    return total / sum(samples for _, samples in told)
