"""MobileNetV2: inverted residual blocks with linear bottlenecks.

References
----------
Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.norms import norm_2d
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

if TYPE_CHECKING:
    import torch

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


def _unit(before: int, after: int, kernel: int, stride: int, groups: int, norm: str) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, norm_2d(norm, after), nn.ReLU6(inplace=True)]


class InvertedResidual(nn.Module):
    """Expand by a pointwise, filter by a depthwise, project by a linear pointwise convolution."""

    def __init__(self, before: int, after: int, stride: int, expansion: int, norm: str, *, residual: bool) -> None:
        super().__init__()
        wide = before * expansion
        self.residual = residual
        expand = _unit(before, wide, 1, 1, 1, norm) if expansion > 1 else []
        project = [nn.Conv2d(wide, after, 1, bias=False), norm_2d(norm, after)]
        self.layers = nn.Sequential(*expand, *_unit(wide, wide, 3, stride, wide, norm), *project)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output, (batch, channels, height, width)."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.residual else y


def mobilenet_v2(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, norm: str = "group", alpha: float = 1.0
) -> nn.Sequential:
    """Return MobileNetV2; 3,504,872 parameters with 1,000 classes.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 32.
    norm : str
        "group" or "batch".
    alpha : float
        The paper's width multiplier (it leaves the last layer at 1,280 below 1): the size of the full model, of which
        `width` is a slice.
    """
    inputs, _, _ = image_shape("mobilenet-v2", input_shape)

    def maps(full: int) -> int:
        return scaled(_divisible(full * alpha), width, CHANNEL_MULTIPLE)

    now = maps(32)
    layers = _unit(inputs, now, 3, 2, 1, norm)
    for expansion, full, blocks, first_stride in _STAGES:
        for index in range(blocks):
            after = maps(full)
            stride = first_stride if index == 0 else 1
            # By position, not by equal widths: slices of two different widths may round to the same.
            layers.append(InvertedResidual(now, after, stride, expansion, norm, residual=index > 0))
            now = after
    last = scaled(_divisible(_LAST * max(1.0, alpha)), width, CHANNEL_MULTIPLE)
    layers += _unit(now, last, 1, 1, 1, norm)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, num_classes))
    he_initial(model)
    return model


def _divisible(channels: float) -> int:
    """Round to a multiple of 8 that is not below nine tenths of the wish, as the published nets do."""
    rounded = max(CHANNEL_MULTIPLE, int(channels + CHANNEL_MULTIPLE / 2) // CHANNEL_MULTIPLE * CHANNEL_MULTIPLE)
    return rounded + CHANNEL_MULTIPLE if rounded < 0.9 * channels else rounded
