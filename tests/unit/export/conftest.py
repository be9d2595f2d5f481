"""A small net, and what deliveries make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlite.compose.shipping import Ware, ship, state_of
from fedlite.compression.plan import Plan
from fedlite.learning.data.dataset import Dataset
from fedlite.learning.models.spec import ModelSpec
from fedlite.rng import stream

SHAPE = (1, 8, 8)


@pytest.fixture(scope="session")
def ware():
    """Return a net whose first convolution is followed by a pooling, and rows that it labelled itself."""
    spec = ModelSpec("cnn", SHAPE, 4, 3, params=(("channels", (8, 16)), ("hidden", 256)))
    net, x = spec.build().eval(), stream(3, "x").normal(size=(120, *SHAPE)).astype(np.float32)
    with torch.inference_mode():
        y = net(torch.from_numpy(x)).argmax(dim=1).numpy()
    data = Dataset("noise", x[:80], y[:80], x[80:], y[80:], None, None, 4, SHAPE, "none", "drawn")
    return Ware(spec, state_of(net), data, np.arange(40), np.arange(40, 80), 3, "cross-entropy")


@pytest.fixture(scope="session")
def shipped(ware):
    """Return a function that ships the net under deliveries."""
    return lambda *deliveries: ship(ware, Plan("shipped", deliveries=deliveries))
