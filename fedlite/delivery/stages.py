"""Two nets one after the other: a small one answers, and a fine one is asked where the small one confuses classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Classes = NDArray[np.int64]


def confused_groups(said: Classes, wanted: Classes, classes: int, above: float) -> Classes:
    """Return the coarse class of each fine one, (classes,): those that are confused, if by a chain, share one.

    Parameters
    ----------
    said, wanted : arrays, shape (N,)
    classes : int
    above : float
        Two classes are confused if more than this share of the rows of both got the class of the other.
    """
    table = np.zeros((classes, classes))
    np.add.at(table, (wanted, said), 1.0)
    rows = table.sum(axis=1)
    mistaken = (table + table.T) / np.maximum(rows[:, None] + rows[None, :], 1.0)
    np.fill_diagonal(mistaken, 0.0)
    return np.asarray(connected_components(mistaken > above, directed=False)[1], np.int64)


_BELOW: Final = 20.0
"""By how much the scores of other groups are below all: a probability of less than 1e-8."""


class Stages(nn.Module):
    """A small net, and perhaps a fine one that goes on where the small one's class is one of several in a group.

    Parameters
    ----------
    small, fine : nn.Module
        Both score the same classes, (N, classes). Without the fine one this is what the device computes of most rows.
    coarse : sequence of int
        The coarse class of each class.
    """

    def __init__(self, small: nn.Module, fine: nn.Module | None, coarse: Sequence[int]) -> None:
        super().__init__()
        self.small, self.fine = small, fine
        self.register_buffer("coarse", torch.tensor(coarse, dtype=torch.int32))

    def goes_on(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether each row's answer lies in a group of several classes, (N,), and which are its, (N, classes).

        The coarse class is that of the likeliest one.
        """
        coarse = self.get_buffer("coarse").long()
        within = coarse[None, :] == coarse[scores.argmax(dim=1)][:, None]
        return within.sum(dim=1) > 1, within

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (N, classes), fine ones for rows that go on; far below all others outside the coarse class."""
        scores: Tensor = self.small(x)
        on, within = self.goes_on(scores)
        if self.fine is not None and bool(on.any()):
            scores = scores.index_copy(0, on.nonzero()[:, 0], self.fine(x[on]))
        # Finite, so that a row in the wrong group has a loss.
        return torch.where(within, scores, scores.amin(dim=1, keepdim=True) - _BELOW)


class Both(Stages):
    """The same for a row that goes on, whatever its values: what is traced."""

    def goes_on(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return that it does."""
        on, within = super().goes_on(scores)
        return torch.ones_like(on), within
