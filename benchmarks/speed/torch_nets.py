"""The two nets and the plain local epoch in torch, for every runner that lets its user write them."""

from __future__ import annotations

import torch
from torch import nn
from work import BATCH


def build(model):
    """Return the net with fixed initial weights."""
    torch.manual_seed(0)
    if model == "mlp":
        return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def local_epoch(net, x, y, lr):
    """Train one epoch in place, as a tutorial would but without its DataLoader."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    order = torch.randperm(len(x), device=x.device)
    for begin in range(0, len(x), BATCH):
        rows = order[begin : begin + BATCH]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()


def accuracy(net, x, y):
    """Return the share of right answers over all data: a check that training happened, not a result."""
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()
