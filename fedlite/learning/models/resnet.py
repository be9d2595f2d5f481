"""ResNet-18 and ResNet-50.

References
----------
He et al. 2016, "Deep residual learning for image recognition", table 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.norms import norm_2d
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.shortcut import rectified
from fedlite.learning.models.stems import is_small
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

if TYPE_CHECKING:
    import torch

_STAGE_CHANNELS: Final = (64, 128, 256, 512)
_BOTTLENECK_FACTOR: Final = 4


def _conv(before: int, after: int, kernel: int, stride: int, norm: str) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, norm_2d(norm, after)]


class Block(nn.Module):
    """Convolutions plus a shortcut, rectified."""

    def __init__(self, layers: list[nn.Module], shortcut: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.shortcut = nn.Sequential(*shortcut)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, channels after, height / stride, width / stride)."""
        y: torch.Tensor = self.relu(self.layers(x) + self.shortcut(x))
        return y

    def without_branch(self) -> nn.Module:
        """Return what is left without the convolutions."""
        return rectified(self.shortcut)


def _basic(
    before: int,
    maps: int,
    stride: int,
    norm: str,
    *,
    stride_first: bool,  # noqa: ARG001 - a basic block has one place for its stride
) -> tuple[list[nn.Module], int]:
    relu = nn.ReLU(inplace=True)
    return [*_conv(before, maps, 3, stride, norm), relu, *_conv(maps, maps, 3, 1, norm)], maps


def _bottleneck(before: int, maps: int, stride: int, norm: str, *, stride_first: bool) -> tuple[list[nn.Module], int]:
    after = maps * _BOTTLENECK_FACTOR
    first, second = (stride, 1) if stride_first else (1, stride)
    layers = [*_conv(before, maps, 1, first, norm), nn.ReLU(inplace=True)]
    layers += [*_conv(maps, maps, 3, second, norm), nn.ReLU(inplace=True), *_conv(maps, after, 1, 1, norm)]
    return layers, after


def _stem(kind: str, inputs: int, maps: int, norm: str) -> list[nn.Module]:
    if is_small(kind):
        return [*_conv(inputs, maps, 3, 1, norm), nn.ReLU(inplace=True)]
    return [*_conv(inputs, maps, 7, 2, norm), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]


def resnet18(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, norm: str = "group", stem: str = "imagenet"
) -> nn.Sequential:
    """Return ResNet-18; 11,689,512 parameters with 1,000 classes.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 28.
    norm : str
        "group" or "batch".
    stem : str
        "imagenet" (7x7, stride 2, pooled) or "small" (3x3, stride 1) for images of about 32 pixels.
    """
    return _resnet("resnet18", input_shape, num_classes, width, norm, stem, (2, 2, 2, 2), stride_first=False)


def resnet50(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    norm: str = "group",
    stem: str = "imagenet",
    stride_first: bool = False,  # noqa: FBT001, FBT002 - named in scenarios
) -> nn.Sequential:
    """Return ResNet-50; 25,557,032 parameters with 1,000 classes.

    Parameters
    ----------
    input_shape, num_classes, width, norm, stem
        As in `resnet18`.
    stride_first : bool
        Whether a stage's stride is in its first 1x1 convolution, as in the paper, or in the 3x3 one ("v1.5", usual
        today and more work).
    """
    return _resnet("resnet50", input_shape, num_classes, width, norm, stem, (3, 4, 6, 3), stride_first=stride_first)


def _resnet(
    name: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float,
    norm: str,
    stem: str,
    blocks: tuple[int, ...],
    *,
    stride_first: bool,
) -> nn.Sequential:
    inputs, _, _ = image_shape(name, input_shape)
    branch = _basic if name == "resnet18" else _bottleneck
    stages = [scaled(full, width, CHANNEL_MULTIPLE) for full in _STAGE_CHANNELS]
    now = stages[0]
    layers = _stem(stem, inputs, now, norm)
    for stage, (maps, count) in enumerate(zip(stages, blocks, strict=True)):
        for index in range(count):
            stride = 2 if stage > 0 and index == 0 else 1
            body, after = branch(now, maps, stride, norm, stride_first=stride_first)
            projected = index == 0 and (stage > 0 or branch is _bottleneck)
            layers.append(Block(body, _conv(now, after, 1, stride, norm) if projected else []))
            now = after
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(now, num_classes))
    he_initial(model)
    return model
