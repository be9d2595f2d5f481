"""A one-dimensional convolutional net for windows of sensor readings."""

from __future__ import annotations

from torch import nn

from fedlite.learning.models.shapes import series_shape
from fedlite.learning.models.widths import scaled


def cnn1d(input_shape: tuple[int, ...], num_classes: int, width: float = 1.0) -> nn.Sequential:
    """Return two strided convolutions (kernels 9 and 7), average pooling over time and the output layer.

    Six channels and seven classes have 16,615 parameters, whatever the number of steps.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; (channels, steps) with at least 21 steps.
    """
    inputs, _ = series_shape("cnn1d", input_shape)
    first, second = scaled(32, width), scaled(64, width)
    return nn.Sequential(
        nn.Conv1d(inputs, first, 9, stride=2),
        nn.ReLU(),
        nn.Conv1d(first, second, 7, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(second, num_classes),
    )
