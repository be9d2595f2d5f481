"""A small convolutional net for small images: two convolutions, 3x3 unless asked otherwise, and one hidden layer.

References
----------
McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data", section 3: with
kernels of 5 and 512 hidden units it is their net for MNIST (1,663,370 parameters).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import scaled

if TYPE_CHECKING:
    from collections.abc import Sequence


def cnn(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    channels: Sequence[int] = (32, 64),
    pools: Sequence[int] = (2, 2),
    hidden: int = 128,
    kernel: int = 3,
) -> nn.Sequential:
    """Return `Conv`-`ReLU`-`MaxPool` per entry of `channels`, then a hidden layer and the output layer.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image (channels, height, width).
    channels : sequence of int
        Output channels of each convolution, which is padded to keep the size.
    pools : sequence of int
        Pooling factor after each convolution; 1 leaves the pooling out.
    hidden : int
        Units of the hidden layer.
    kernel : int
        Side of the convolutions' kernels, an odd number.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel must be odd, got {kernel}")
    inputs, height, breadth = image_shape("cnn", input_shape)
    layers: list[nn.Module] = []
    for full, pool in zip(channels, pools, strict=True):
        outputs = scaled(full, width)
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU()]
        if pool > 1:
            layers.append(nn.MaxPool2d(pool))
        inputs, height, breadth = outputs, height // pool, breadth // pool
    units = scaled(hidden, width)
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(inputs * height * breadth, units),
        nn.ReLU(),
        nn.Linear(units, num_classes),
    )
