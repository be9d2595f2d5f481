"""The nets, whose rows are whose, and what learning means."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

CLASSES = 10
TEST_ROWS = 360
"""The last rows of the data; no client trains on them."""
_HIDDEN = (16, 64, 128)
"""Clients take turns: a small, a middling and a large net."""


def net_of(partition: int) -> nn.Module:
    """Return a client's own net, freshly initialised from its number."""
    hidden = _HIDDEN[partition % len(_HIDDEN)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(partition)
        return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))


@lru_cache(maxsize=1)
def _rows() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y)


def _order() -> np.ndarray:
    return np.random.default_rng(0).permutation(len(_rows()[1]) - TEST_ROWS)


def public_data(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows that everybody has, with their classes."""
    x, y = _rows()
    order = torch.from_numpy(_order()[:rows])
    return x[order], y[order]


def client_data(partition: int, partitions: int, public: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one client's own rows: of two neighbouring classes more than of the others."""
    x, y = _rows()
    rest = _order()[public:]
    skewed = rest[np.argsort((y.numpy()[rest] + 0.5 * (np.arange(len(rest)) % 7)) % CLASSES, kind="stable")]
    mine = torch.from_numpy(np.array_split(skewed, partitions)[partition].copy())
    return x[mine], y[mine]


def test_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows on which nets are tested."""
    x, y = _rows()
    return x[-TEST_ROWS:], y[-TEST_ROWS:]


def learn(net: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, batch_size: int, lr: float) -> float:
    """Learn classes, or somebody's scores, and return the mean loss of the last epoch."""
    lose = F.cross_entropy if y.dim() == 1 else F.l1_loss
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    total = 0.0
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(y)).split(batch_size):
            optimizer.zero_grad()
            loss = lose(net(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
    return total / len(y)
