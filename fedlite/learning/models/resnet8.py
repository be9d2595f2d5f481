"""ResNet-8 for small images, the image-classification net of MLPerf Tiny.

References
----------
Banbury et al. 2021, "MLPerf Tiny benchmark"; reference model `keras_model.py` of mlcommons/tiny with 16 filters (its
shortcut convolutions have no normalisation, its convolutions have biases).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.norms import norm_2d
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.shortcut import rectified
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

if TYPE_CHECKING:
    import torch


class Stack(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the stride is 2."""

    def __init__(self, before: int, after: int, stride: int, norm: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1),
            norm_2d(norm, after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, padding=1),
            norm_2d(norm, after),
        )
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, after, height / stride, width / stride)."""
        y: torch.Tensor = self.relu(self.layers(x) + self.shortcut(x))
        return y

    def without_branch(self) -> nn.Module:
        """Return what is left without the convolutions."""
        return rectified(self.shortcut)


def resnet8(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, norm: str = "group", filters: int = 16
) -> nn.Sequential:
    """Return ResNet-8; 78,186 trainable parameters on 3x32x32 with 10 classes.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 8.
    norm : str
        "group" or "batch".
    filters : int
        Channels of the first stack, a multiple of 8; the later two have twice and four times as many.
    """
    inputs, _, _ = image_shape("resnet8", input_shape)
    first, second, third = (scaled(filters * factor, width, CHANNEL_MULTIPLE) for factor in (1, 2, 4))
    model = nn.Sequential(
        nn.Conv2d(inputs, first, 3, padding=1),
        norm_2d(norm, first),
        nn.ReLU(inplace=True),
        Stack(first, first, 1, norm),
        Stack(first, second, 2, norm),
        Stack(second, third, 2, norm),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(third, num_classes),
    )
    he_initial(model)
    return model
