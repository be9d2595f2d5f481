"""ShuffleNetV2: half of the maps pass each block untouched, and a shuffle mixes the halves.

A narrower net is no slice of a wider one: the shuffle deals the maps of both halves in turn, so that the first maps of
a unit with fewer of them go through other halves of the next unit. The nets therefore have no width.

References
----------
Ma et al. 2018, "ShuffleNet V2: Practical guidelines for efficient CNN architecture design", table 5 and figure 3.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.norms import norm_2d
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.stems import is_small
from fedlite.learning.models.widths import CHANNEL_MULTIPLE

_BLOCKS: Final = (4, 8, 4)
_STEM: Final = 24
_LAST: Final = 1024
_HALF_MAPS: Final = 29
"""Maps of a normalisation group where eight do not divide them: 58, 116 and 232 are multiples of 29."""


def _conv(before: int, after: int, kernel: int, stride: int, norm: str) -> list[nn.Module]:
    """Return a pointwise (kernel 1) or a depthwise convolution and its normalisation."""
    groups = 1 if kernel == 1 else before
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, norm_2d(norm, after, CHANNEL_MULTIPLE if after % _HALF_MAPS else _HALF_MAPS)]


class ShuffleUnit(nn.Module):
    """A branch beside the other half of the maps (stride 1), or beside a shorter branch of all of them (stride 2)."""

    def __init__(self, before: int, after: int, stride: int, norm: str) -> None:
        super().__init__()
        half = after // 2
        self.halves = stride == 1
        entry = half if self.halves else before
        beside = [*_conv(before, before, 3, stride, norm), *_conv(before, half, 1, 1, norm), nn.ReLU(inplace=True)]
        self.beside = nn.Sequential(*([] if self.halves else beside))
        self.branch = nn.Sequential(
            *_conv(entry, half, 1, 1, norm), nn.ReLU(inplace=True),
            *_conv(half, half, 3, stride, norm),
            *_conv(half, half, 1, 1, norm), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, after, height / stride, width / stride), the maps of both sides in turn."""
        passing, entering = x.chunk(2, dim=1) if self.halves else (x, x)
        return torch.stack([self.beside(passing), self.branch(entering)], dim=2).flatten(1, 2)


def shufflenet_v2_x0_5(
    input_shape: tuple[int, ...], num_classes: int, norm: str = "group", stem: str = "imagenet"
) -> nn.Sequential:
    """Return ShuffleNetV2 0.5x; 1,366,792 parameters with 1,000 classes. The parameters are those of 1x."""
    return _shufflenet("shufflenet-v2-x0.5", (48, 96, 192), input_shape, num_classes, norm, stem)


def shufflenet_v2_x1_0(
    input_shape: tuple[int, ...], num_classes: int, norm: str = "group", stem: str = "imagenet"
) -> nn.Sequential:
    """Return ShuffleNetV2 1x; 2,278,604 parameters with 1,000 classes.

    Parameters
    ----------
    input_shape, num_classes
        As in `fedlite.learning.models.build`; an image with sides of at least 28.
    norm : str
        "group" or "batch".
    stem : str
        "imagenet" (stride 2, pooled) or "small" (stride 1, not pooled) for images of about 32 pixels.
    """
    return _shufflenet("shufflenet-v2-x1.0", (116, 232, 464), input_shape, num_classes, norm, stem)


def _shufflenet(
    name: str, stages: tuple[int, ...], input_shape: tuple[int, ...], num_classes: int, norm: str, stem: str
) -> nn.Sequential:
    inputs, _, _ = image_shape(name, input_shape)
    small = is_small(stem)
    first = nn.Conv2d(inputs, _STEM, 3, 1 if small else 2, padding=1, bias=False)
    layers: list[nn.Module] = [first, norm_2d(norm, _STEM), nn.ReLU(inplace=True)]
    if not small:
        layers.append(nn.MaxPool2d(3, 2, padding=1))
    now = _STEM
    for after, count in zip(stages, _BLOCKS, strict=True):
        for index in range(count):
            layers.append(ShuffleUnit(now, after, 2 if index == 0 else 1, norm))
            now = after
    layers += [*_conv(now, _LAST, 1, 1, norm), nn.ReLU(inplace=True)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_LAST, num_classes))
    he_initial(model)
    return model
