"""A multilayer perceptron on flattened inputs."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from fedlite.learning.models.widths import scaled

if TYPE_CHECKING:
    from collections.abc import Sequence


def mlp(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, hidden: Sequence[int] = (64,)
) -> nn.Sequential:
    """Return `Flatten`, then `Linear`-`ReLU` per hidden size, then the output layer.

    64 inputs, one hidden layer of 64 and 10 classes have 4,810 parameters.
    """
    if any(size < 1 for size in hidden):
        raise ValueError(f"hidden sizes must be 1 or more, got {tuple(hidden)}")
    sizes = [math.prod(input_shape), *(scaled(size, width) for size in hidden)]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], num_classes))
