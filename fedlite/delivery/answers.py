"""The classes that a net gives rows, for deliveries that look at single answers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fedlite.delivery.base import Calibration

_ROWS_AT_ONCE: Final = 64
_SCORES: Final = 2


def classes_of(net: nn.Module, x: NDArray[np.float32]) -> NDArray[np.int64] | None:
    """Return the class that a net gives each of the rows (N, *sample), (N,); None if it does not score classes."""
    model, said = copy.deepcopy(net).eval(), []  # torch's switch: nothing drops out, batch statistics stay
    with torch.inference_mode():
        for begin in range(0, len(x), _ROWS_AT_ONCE):
            scores = model(torch.from_numpy(np.array(x[begin : begin + _ROWS_AT_ONCE])))
            if scores.ndim != _SCORES:
                return None
            said.append(scores.argmax(dim=1).numpy())
    return np.concatenate(said)


def accuracy_of(net: nn.Module, rows: Calibration) -> float | None:
    """Return the share of held-out rows that a net gives their class; None where there are no such rows or classes."""
    if rows.labelled is None or rows.labelled[1].ndim != 1 or not len(rows.labelled[1]):
        return None
    said = classes_of(net, rows.labelled[0])
    return None if said is None else float((said == rows.labelled[1]).mean())
