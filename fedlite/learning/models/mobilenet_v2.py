"""MobileNetV2: inverted residual blocks with linear bottlenecks.

References
----------
Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.inverted import InvertedResidual, unit
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.stems import is_small
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, divisible, scaled

_STAGES: Final = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""(expansion, output channels, blocks, stride of the first block) per stage."""
_LAST = 1280
RELU6: Final = partial(nn.ReLU6, inplace=True)


def mobilenet_v2(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    norm: str = "group",
    alpha: float = 1.0,
    stem: str = "imagenet",
) -> nn.Sequential:
    """Return MobileNetV2; 3,504,872 parameters with 1,000 classes.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 28.
    norm : str
        "group" or "batch".
    alpha : float
        The paper's width multiplier (it leaves the last layer at 1,280 below 1): the size of the full model, of which
        `width` is a slice.
    stem : str
        "imagenet" (stride 2) or "small" (stride 1) for images of about 32 pixels.
    """
    inputs, _, _ = image_shape("mobilenet-v2", input_shape)

    def maps(full: int) -> int:
        return scaled(divisible(full * alpha), width, CHANNEL_MULTIPLE)

    now = maps(32)
    layers = unit(inputs, now, 3, 1 if is_small(stem) else 2, 1, norm, RELU6)
    for expansion, full, blocks, first_stride in _STAGES:
        for index in range(blocks):
            after = maps(full)
            stride = first_stride if index == 0 else 1
            # By position, not by equal widths: slices of two different widths may round to the same.
            block = InvertedResidual(
                now, now * expansion, after, 3, stride, norm, RELU6, expands=expansion > 1, residual=index > 0
            )
            layers.append(block)
            now = after
    last = scaled(divisible(_LAST * max(1.0, alpha)), width, CHANNEL_MULTIPLE)
    layers += unit(now, last, 1, 1, 1, norm, RELU6)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, num_classes))
    he_initial(model)
    return model
