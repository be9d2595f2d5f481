"""MobileNet (v1): a stack of depthwise-separable convolutions.

References
----------
Howard et al. 2017, "MobileNets", table 1. With alpha 0.25 at 3x96x96 and two classes it is the visual-wake-words net
of MLPerf Tiny.
"""

from __future__ import annotations

from typing import Final

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.norms import norm_2d
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

_BLOCKS: Final = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
"""(output channels, stride) of each separable block."""


def mobilenet_v1(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, norm: str = "group", alpha: float = 1.0
) -> nn.Sequential:
    """Return MobileNet; 4,231,976 parameters with 1,000 classes.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 32.
    norm : str
        "group" or "batch".
    alpha : float
        The paper's width multiplier: the size of the full model, of which `width` is a slice.
    """
    inputs, _, _ = image_shape("mobilenet-v1", input_shape)

    def maps(full: int) -> int:
        return scaled(max(CHANNEL_MULTIPLE, int(full * alpha)), width, CHANNEL_MULTIPLE)

    def unit(before: int, after: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        return [conv, norm_2d(norm, after), nn.ReLU(inplace=True)]

    now = maps(32)
    layers = unit(inputs, now, 3, 2)
    for full, stride in _BLOCKS:
        after = maps(full)
        layers += [*unit(now, now, 3, stride, groups=now), *unit(now, after, 1, 1)]
        now = after
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(now, num_classes))
    he_initial(model)
    return model
