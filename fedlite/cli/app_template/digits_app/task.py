"""The model, the data, and what training and testing mean."""

from functools import lru_cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

TEST_ROWS = 360
"""The last rows of the data; no client trains on them."""


class Net(nn.Module):
    """A perceptron for 8x8 images in ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of the classes."""
        return self.out(F.relu(self.hidden(x)))


@lru_cache(maxsize=1)
def _rows() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y)


def client_data(partition: int, partitions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one client's rows: every client has equally many, none has another's."""
    x, y = _rows()
    order = np.random.default_rng(0).permutation(len(y) - TEST_ROWS)
    mine = torch.from_numpy(np.array_split(order, partitions)[partition])
    return x[mine], y[mine]


def test_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows that the server tests on."""
    x, y = _rows()
    return x[-TEST_ROWS:], y[-TEST_ROWS:]


def train(net: Net, x: torch.Tensor, y: torch.Tensor, epochs: int, batch_size: int, lr: float) -> float:
    """Train for some epochs and return the mean loss of the last one."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    total = 0.0
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(y)).split(batch_size):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
    return total / len(y)


def test(net: Net, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Return loss and accuracy."""
    with torch.no_grad():
        scores = net(x)
    return F.cross_entropy(scores, y).item(), (scores.argmax(1) == y).float().mean().item()
