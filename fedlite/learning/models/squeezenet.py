"""SqueezeNet 1.1: fire modules, no fully connected layer, no normalisation.

References
----------
Iandola et al. 2016, "SqueezeNet"; version 1.1 of the authors' repository (2.4 times less work than 1.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import scaled

if TYPE_CHECKING:
    from fedlite.learning.models.widths import Blocks

_POOL = "pool"
_STAGES: Final = (
    _POOL,
    *((16, 64), (16, 64)),
    _POOL,
    *((32, 128), (32, 128)),
    _POOL,
    *((48, 192), (48, 192), (64, 256), (64, 256)),
)
"""(squeeze channels, channels of each of the two expansions) per fire module, and the pools between them."""
_STEM: Final = 64


class Fire(nn.Module):
    """Squeeze to few channels, then expand by 1x1 and 3x3 convolutions side by side."""

    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.expand1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return both expansions, (batch, 2 x expanded, height, width)."""
        y = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1(y)), self.relu(self.expand3(y))], dim=1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1; 1,235,496 parameters with 1,000 classes."""

    def __init__(self, inputs: int, num_classes: int, width: float) -> None:
        super().__init__()
        now = scaled(_STEM, width)
        layers: list[nn.Module] = [nn.Conv2d(inputs, now, 3, stride=2), nn.ReLU(inplace=True)]
        for stage in _STAGES:
            if isinstance(stage, str):
                layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
                continue
            squeezed, expanded = (scaled(full, width) for full in stage)
            layers.append(Fire(now, squeezed, expanded))
            now = 2 * expanded
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(now, num_classes, 1)
        he_initial(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, (batch, classes): averages of the rectified class maps."""
        maps = torch.relu_(self.classifier(self.features(x)))
        return maps.mean(dim=(2, 3))

    def width_blocks(self) -> Blocks:
        """Return where inputs are concatenations of two expansions, of each of which a slice keeps a prefix."""
        blocks: Blocks = {}
        halves: tuple[int, ...] = ()
        for name, module in self.features.named_children():
            if isinstance(module, Fire):
                if halves:
                    blocks[f"features.{name}.squeeze.weight"] = {1: halves}
                halves = (module.expand1.out_channels, module.expand3.out_channels)
        blocks["classifier.weight"] = {1: halves}
        return blocks


def squeezenet(input_shape: tuple[int, ...], num_classes: int, width: float = 1.0) -> SqueezeNet:
    """Return SqueezeNet 1.1; the published dropout before the classifier is left out.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 32.
    """
    inputs, _, _ = image_shape("squeezenet1.1", input_shape)
    return SqueezeNet(inputs, num_classes, width)
