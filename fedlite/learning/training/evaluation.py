"""How good a model is: over one test set, and client by client in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fedlite.errors import FedliteError
from fedlite.learning.training.records import Array, ClientEvaluation, Evaluation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.learning.training.template import Template

SampleLoss = Callable[[Tensor, Tensor], Tensor]


def predict(
    template: Template, x: Array, y: Array, sample_loss: SampleLoss, batch_size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what the loaded model predicts for every sample, and its loss, each of shape (N,)."""
    predicted = np.empty(len(x), dtype=np.int64)
    losses = np.empty(len(x), dtype=np.float64)
    template.model.eval()
    with torch.inference_mode():
        for begin in range(0, len(x), batch_size):
            part = slice(begin, begin + batch_size)
            logits = template.model(template.inputs(np.array(x[part])))
            predicted[part] = logits.argmax(dim=1).numpy()
            losses[part] = sample_loss(logits, torch.from_numpy(np.array(y[part]))).numpy()
    return predicted, losses


def evaluation_of(predicted: NDArray[np.int64], losses: NDArray[np.float64], y: Array) -> Evaluation:
    """Return the metrics of one test set."""
    if not len(y):
        return Evaluation(float("nan"), float("nan"), float("nan"), 0)
    return Evaluation(float(losses.mean()), float(np.mean(predicted == y)), macro_f1(predicted, y), len(y))


def macro_f1(predicted: NDArray[np.int64], y: Array) -> float:
    """Return F1 = 2 TP / (labels + predictions) averaged over the classes that occur in either; NaN without samples."""
    classes = int(max(predicted.max(initial=-1), y.max(initial=-1))) + 1
    hits = np.bincount(y[predicted == y], minlength=classes)
    occurrences = np.bincount(y, minlength=classes) + np.bincount(predicted, minlength=classes)
    present = occurrences > 0
    return float(np.mean(2.0 * hits[present] / occurrences[present])) if present.any() else float("nan")


def client_evaluation_of(
    predicted: NDArray[np.int64], losses: NDArray[np.float64], y: Array, client_index: Array
) -> ClientEvaluation:
    """Return the metrics of each client that owns samples; rows of a negative owner count for nobody."""
    if len(client_index) != len(y):
        raise FedliteError(
            f"evaluate_many: got {len(client_index)} owners for {len(y)} samples, expected one owner per sample"
        )
    owned = client_index >= 0
    client, group = np.unique(client_index[owned], return_inverse=True)
    count = np.bincount(group, minlength=len(client))
    accuracy = np.bincount(group, weights=(predicted == y)[owned], minlength=len(client)) / count
    loss = np.bincount(group, weights=losses[owned], minlength=len(client)) / count
    return ClientEvaluation(client.astype(np.int64), count.astype(np.int64), accuracy, loss)
