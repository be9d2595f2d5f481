"""A small single-shot detector: convolutions down to a grid an eighth as fine as the picture, one box for each cell.

References
----------
Redmon et al. 2016, "You Only Look Once: Unified, Real-Time Object Detection", section 2; with a net of our own, far
smaller, without fully connected layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.norms import norm_2d
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

_HALVED = 3
"""Stages after which the picture is half as fine."""
_FACTOR = 2**_HALVED
_SMALL = 0.01


class Detector(nn.Module):
    """A body that sees, and a head that tells.

    Attributes
    ----------
    body : nn.Sequential
        Gives the features of the cells, (batch, channels, height / 8, width / 8).
    head : nn.Conv2d
        Gives the numbers of the cells (`learning.detection.grid`).
    """

    def __init__(self, inputs: int, channels: Sequence[int], outputs: int, norm: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage, after in enumerate(channels):
            stride = 1 if stage else 2  # at the size of the picture it would be most of the work
            convolution = nn.Conv2d(inputs, after, 3, stride, padding=1, bias=False)
            layers += [convolution, norm_2d(norm, after), nn.ReLU(inplace=True)]
            if 0 < stage < _HALVED:
                layers.append(nn.MaxPool2d(2))
            inputs = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the numbers of all cells, (batch, outputs * height / 8 * width / 8): those of one kind together."""
        cells: torch.Tensor = self.head(self.body(x))
        return cells.flatten(1)


def detector(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    norm: str = "group",
    channels: Sequence[int] = (16, 32, 64, 128),
) -> Detector:
    """Return the net; 99,327 parameters on pictures of 1 x 32 x 32 with 10 classes of objects.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides that are multiples of 8, and the numbers of all of
        its cells together.
    norm : str
        "group" or "batch".
    channels : sequence of int
        Of the four convolutions, multiples of 8.

    Raises
    ------
    ValueError
        If the sides or the numbers do not come out even.
    """
    inputs, height, breadth = image_shape("detector", input_shape)
    cells = (height // _FACTOR) * (breadth // _FACTOR)
    if height % _FACTOR or breadth % _FACTOR or num_classes % cells:
        raise ValueError(
            f"got {num_classes} numbers for a picture of {height} x {breadth}, expected sides that are multiples of"
            f" {_FACTOR}, and as many numbers for each of the cells"
        )
    kept = [scaled(full, width, CHANNEL_MULTIPLE) for full in channels]
    model = Detector(inputs, kept, num_classes // cells, norm)
    he_initial(model)
    # Sure answers of an untrained head are flat ends of the logistic function, from which it does not come back.
    nn.init.normal_(model.head.weight, std=_SMALL)
    return model
