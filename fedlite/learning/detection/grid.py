"""The grid in which a single-shot net tells objects: one box, its presence and its class for each cell of a picture.

A cell of the S x S grid has 5 + C numbers: whether an object has its centre there, where in the cell (x, y), how large
(width, height, as shares of the picture's side), and which of C classes. Targets hold them as shares and zeros and
ones; a net gives them before the logistic function, classes as logits.

References
----------
Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection", section 2 (one box for each cell here).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float32]

BOX: Final = 5
"""Numbers of a cell before its classes: presence, x, y, width, height."""


def encoded(boxes: Sequence[tuple[int, float, float, float, float]], cells: int, classes: int) -> Floats:
    """Return objects as targets, (5 + classes, cells, cells).

    Parameters
    ----------
    boxes : sequence of (class, x0, y0, x1, y1)
        Corners as shares of the picture's side; at most one centre in a cell.
    """
    grid = np.zeros((BOX + classes, cells, cells), dtype=np.float32)
    for kind, x0, y0, x1, y1 in boxes:
        row, column = cell_of(x0, y0, x1, y1, cells)
        x, y = cells * (x0 + x1) / 2 - column, cells * (y0 + y1) / 2 - row
        grid[:BOX, row, column] = 1.0, x, y, x1 - x0, y1 - y0
        grid[BOX + kind, row, column] = 1.0
    return grid


def cell_of(x0: float, y0: float, x1: float, y1: float, cells: int) -> tuple[int, int]:
    """Return the row and column of the cell in which a box has its centre."""
    row, column = int(cells * (y0 + y1) / 2), int(cells * (x0 + x1) / 2)
    return min(row, cells - 1), min(column, cells - 1)


def folded(numbers: Tensor, classes: int) -> Tensor:
    """Return flat outputs or targets, (N, numbers), as the grid that they are, (N, 5 + classes, S, S).

    Raises
    ------
    FedliteError
        If they are no square grid of so many classes.
    """
    each = BOX + classes
    cells = math.isqrt(numbers[0].numel() // each)
    if numbers[0].numel() != each * cells**2 or not cells:
        raise FedliteError(
            f"detection: got {numbers[0].numel()} numbers for a picture, expected {each} for each cell of a square"
            " grid; name a net and data of objects, or another number of classes"
        )
    return numbers.reshape(len(numbers), each, cells, cells)


def read(outputs: Tensor) -> Tensor:
    """Return what a net tells, (N, S * S, 6): confidence, class, and the corners x0, y0, x1, y1 as shares.

    The confidence is the probability of an object times that of its most probable class.
    """
    import torch

    chance, kind = outputs[:, BOX:].softmax(dim=1).max(dim=1)
    boxed = outputs[:, :BOX].sigmoid()
    return _cornered(boxed[:, 0] * chance, kind, boxed, torch.arange(outputs.shape[-1], device=outputs.device))


def read_targets(targets: Tensor) -> Tensor:
    """Return targets (N, 5 + C, S, S) in the form of `read`; the confidence of a cell without an object is 0."""
    import torch

    kind = targets[:, BOX:].argmax(dim=1)
    return _cornered(targets[:, 0], kind, targets[:, :BOX], torch.arange(targets.shape[-1], device=targets.device))


def _cornered(confidence: Tensor, kind: Tensor, boxed: Tensor, steps: Tensor) -> Tensor:
    import torch

    cells = len(steps)
    x, y = (boxed[:, 1] + steps) / cells, (boxed[:, 2] + steps[:, None]) / cells
    half_w, half_h = boxed[:, 3] / 2, boxed[:, 4] / 2
    told = (confidence, kind.to(boxed.dtype), x - half_w, y - half_h, x + half_w, y + half_h)
    return torch.stack([one.flatten(1) for one in told], dim=2)
