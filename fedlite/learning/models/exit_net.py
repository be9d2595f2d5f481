"""Nets with an exit after every block: a small classifier on what it gives, so that the first blocks are a net, too.

References
----------
Teerapittayanon, McDanel, Kung 2016, "BranchyNet: Fast inference via early exiting from deep neural networks".
Kim et al. 2023, "DepthFL: Depthwise federated learning for heterogeneous clients", section 3.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from fedlite.errors import UnknownNameError
from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.norms import norm_2d
from fedlite.learning.models.resnet8 import Stack
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OUTPUTS: Final = ("last", "all")


class ExitNet(nn.Module):
    """A stem, blocks one after the other, and a head after each of them.

    Parameters
    ----------
    stem, blocks, heads : sequences of modules
        As many heads as blocks.
    outputs : str
        What a forward pass gives: the scores of the "last" exit, (batch, classes), for which the other heads are not
        computed, or of "all" of them, (batch, exits, classes), as the objective `exits` wants them.
    """

    def __init__(
        self, stem: Sequence[nn.Module], blocks: Sequence[nn.Module], heads: Sequence[nn.Module], outputs: str
    ) -> None:
        super().__init__()
        if outputs not in OUTPUTS:
            raise UnknownNameError("outputs", outputs, list(OUTPUTS))
        self.outputs = outputs
        self.stem = nn.Sequential(*stem)
        self.blocks = nn.ModuleList(blocks)
        self.heads = nn.ModuleDict({str(index): head for index, head in enumerate(heads)})
        he_initial(self)

    def each(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the scores of one exit after the other, each (batch, classes); who stops asking stops computing."""
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if str(index) in self.heads:
                yield self.heads[str(index)](x)

    def exits(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the scores of every exit, the first exit's first."""
        return list(self.each(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of the last exit or of all, as `outputs` says."""
        if self.outputs == "all":
            return torch.stack(self.exits(x), dim=1)
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        scores: torch.Tensor = self.heads[str(len(self.blocks) - 1)](x)
        return scores

    def keep_first(self, blocks: int) -> None:
        """Take the blocks after the first ones away, and the heads that a forward pass does not compute any more."""
        del self.blocks[blocks:]
        wanted = range(blocks) if self.outputs == "all" else (blocks - 1,)
        self.heads = nn.ModuleDict({str(index): self.heads[str(index)] for index in wanted})


def cnn_exits(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    channels: Sequence[int] = (16, 32, 64),
    pools: Sequence[int] = (2, 2, 1),
    outputs: str = "last",
) -> ExitNet:
    """Return a small convolutional net whose every block has an exit.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image (channels, height, width).
    channels : sequence of int
        Output channels of the convolution of each block (kernel 3, padding 1).
    pools : sequence of int
        Pooling factor at the end of each block; 1 leaves the pooling out.
    outputs : str
        "last" or "all", as in `ExitNet`.
    """
    now, *sides = image_shape("cnn-exits", input_shape)
    blocks, heads = [], []
    for full, pool in zip(channels, pools, strict=True):
        after, sides = scaled(full, width), [side // pool for side in sides]
        shrink = [nn.MaxPool2d(pool)] if pool > 1 else []
        blocks.append(nn.Sequential(nn.Conv2d(now, after, 3, padding=1), nn.ReLU(), *shrink))
        # About two by two places of each map. Adaptive pooling would do it, but its gradients differ on accelerators.
        halves = [max(1, side // 2) for side in sides]
        places = math.prod(side // half for side, half in zip(sides, halves, strict=True))
        pooled = nn.AvgPool2d((halves[0], halves[1]))
        heads.append(nn.Sequential(pooled, nn.Flatten(), nn.Linear(after * places, num_classes)))
        now = after
    return ExitNet([], blocks, heads, outputs)


def resnet8_exits(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    norm: str = "group",
    filters: int = 16,
    outputs: str = "last",
) -> ExitNet:
    """Return ResNet-8 with an exit after each of its three stacks.

    Parameters
    ----------
    input_shape, num_classes, width, norm, filters
        As in `fedlite.learning.models.resnet8.resnet8`.
    outputs : str
        "last" or "all", as in `ExitNet`.
    """
    inputs, _, _ = image_shape("resnet8-exits", input_shape)
    maps = [scaled(filters * factor, width, CHANNEL_MULTIPLE) for factor in (1, 2, 4)]
    stem = [nn.Conv2d(inputs, maps[0], 3, padding=1), norm_2d(norm, maps[0]), nn.ReLU(inplace=True)]
    before = islice([maps[0], *maps], len(maps))
    blocks = [Stack(a, b, stride, norm) for a, b, stride in zip(before, maps, (1, 2, 2), strict=True)]
    heads = [nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(full, num_classes)) for full in maps]
    return ExitNet(stem, blocks, heads, outputs)
