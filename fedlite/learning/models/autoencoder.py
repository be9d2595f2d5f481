"""A deep autoencoder, the anomaly-detection net of MLPerf Tiny; its output is its reconstructed input.

References
----------
Banbury et al. 2021, "MLPerf Tiny benchmark" (anomaly detection, after the DCASE 2020 task 2 baseline).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from fedlite.learning.models.norms import norm_1d
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

if TYPE_CHECKING:
    from collections.abc import Sequence


def autoencoder(
    input_shape: tuple[int, ...],
    num_classes: int = 0,  # noqa: ARG001 - every factory takes it
    width: float = 1.0,
    norm: str = "group",
    hidden: Sequence[int] = (128, 128, 128, 128, 8, 128, 128, 128, 128),
) -> nn.Sequential:
    """Return the autoencoder; 267,928 trainable parameters on 640 inputs.

    Parameters
    ----------
    input_shape : tuple of int
        Any shape; it is flattened, and the output has as many elements.
    num_classes : int
        Not used.
    width : float
        As in `fedlite.learning.models.build`.
    norm : str
        "group" or "batch".
    hidden : sequence of int
        Units of the hidden layers, multiples of 8.
    """
    size = math.prod(input_shape)
    layers: list[nn.Module] = [nn.Flatten()]
    units = [size, *(scaled(full, width, CHANNEL_MULTIPLE) for full in hidden)]
    for before, after in pairwise(units):
        layers += [nn.Linear(before, after), norm_1d(norm, after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(units[-1], size))
