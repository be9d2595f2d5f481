"""How good a model is: over one test set, and client by client in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fedlite.errors import FedliteError
from fedlite.learning.training.place import to_host
from fedlite.learning.training.records import Array, ClientEvaluation, Evaluation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.learning.objectives import Objective
    from fedlite.learning.training.place import Table
    from fedlite.learning.training.template import Template


@dataclass(frozen=True)
class Judged:
    """What an objective keeps of N samples: scores and targets of any shape (N, ...), losses float64 (N,)."""

    scores: Array
    targets: Array
    losses: NDArray[np.float64]


def judged(
    template: Template, objective: Objective, x: Table, y: Table, rows: NDArray[np.int64], batch_size: int
) -> Judged:
    """Return how the loaded model does on the samples in these rows."""
    scores, targets, losses = [], [], np.empty(len(rows), dtype=np.float64)
    template.model.eval()  # torch's switch: a test neither drops units nor changes batch statistics
    with torch.inference_mode():
        for begin in range(0, len(rows), batch_size):
            part = slice(begin, begin + batch_size)
            inputs = template.inputs(x.take(x.index(rows[part])))
            wanted = objective.targets(inputs, y.take(y.index(rows[part])))
            outputs = template.model(inputs)
            losses[part] = to_host(objective.losses(outputs, wanted))
            scores.append(to_host(objective.score(outputs, wanted)))
            targets.append(to_host(wanted))
    none = np.empty(0)
    return Judged(np.concatenate(scores or [none]), np.concatenate(targets or [none]), losses)


def evaluation_of(objective: Objective, found: Judged) -> Evaluation:
    """Return the metrics of one test set."""
    return Evaluation(_metrics(objective, found), len(found.losses))


def evaluation_of_outputs(objective: Objective, outputs: Array, x: Array, y: Array) -> Evaluation:
    """Return the metrics of outputs (N, ...) that something else than the trainer computed of samples and labels."""
    with torch.inference_mode():
        given = torch.from_numpy(outputs)
        wanted = objective.targets(torch.from_numpy(x), torch.from_numpy(y))
        losses = to_host(objective.losses(given, wanted)).astype(np.float64)
        found = Judged(to_host(objective.score(given, wanted)), to_host(wanted), losses)
    return evaluation_of(objective, found)


def client_evaluation_of(objective: Objective, found: Judged, client_index: Array) -> ClientEvaluation:
    """Return the metrics of each client that owns samples; rows of a negative owner count for nobody."""
    if len(client_index) != len(found.losses):
        raise FedliteError(
            f"evaluate_many: got {len(client_index)} owners for {len(found.losses)} samples, expected one owner per "
            "sample"
        )
    order = np.argsort(client_index, kind="stable")
    order = order[np.searchsorted(client_index[order], 0) :]
    client, starts, count = np.unique(client_index[order], return_index=True, return_counts=True)
    parts = np.split(order, starts[1:]) if len(client) else []
    each = [_metrics(objective, _rows(found, mine)) for mine in parts]
    metrics = {name: np.array([one[name] for one in each], dtype=np.float64) for name in objective.columns}
    return ClientEvaluation(client.astype(np.int64), count.astype(np.int64), metrics)


def _rows(found: Judged, rows: NDArray[np.int64]) -> Judged:
    return Judged(found.scores[rows], found.targets[rows], found.losses[rows])


def _metrics(objective: Objective, found: Judged) -> dict[str, float]:
    """Return every metric by name, the main one first, then the loss; NaN without samples."""
    if len(found.losses):
        values = {"loss": float(found.losses.mean()), **objective.summary(found.scores, found.targets, found.losses)}
    else:
        values = {"loss": float("nan"), **{metric.name: float("nan") for metric in objective.metrics}}
    return {name: values[name] for name in objective.columns}
