"""LeNet-5, in its modern form with ReLU and max pooling.

References
----------
LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", section II.B.
"""

from __future__ import annotations

from torch import nn

from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import scaled

_PAPER_SIDE = 32
"""The paper pads 28x28 digits to 32x32; larger images are not padded."""


def lenet5(input_shape: tuple[int, ...], num_classes: int, width: float = 1.0) -> nn.Sequential:
    """Return LeNet-5: 61,706 parameters on 1x28x28 with 10 classes, 62,006 on 3x32x32.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 12.
    """
    inputs, height, breadth = image_shape("lenet5", input_shape)
    padding = 0 if min(height, breadth) >= _PAPER_SIDE else 2
    maps_1, maps_2, units_1, units_2 = (scaled(full, width) for full in (6, 16, 120, 84))
    height, breadth = (((side + 2 * padding - 4) // 2 - 4) // 2 for side in (height, breadth))
    return nn.Sequential(
        nn.Conv2d(inputs, maps_1, 5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(maps_1, maps_2, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(maps_2 * height * breadth, units_1),
        nn.ReLU(),
        nn.Linear(units_1, units_2),
        nn.ReLU(),
        nn.Linear(units_2, num_classes),
    )
