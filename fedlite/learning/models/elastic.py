"""A family of small mobile nets that lie in each other: what an architecture search chooses from.

Every net of fewer blocks, fewer channels, a smaller kernel or a smaller expansion is a part of the larger one, tensor
by tensor: the first blocks, the first channels, the middle of a kernel. The structure `subnet` cuts it out.

References
----------
Cai, Gan, Wang, Zhang, Han 2020, "Once-for-All: Train one network and specialize it for efficient deployment", section 3
(elastic depth, width and kernel; its learned transformation of smaller kernels is left out).
Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks" (the blocks).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from fedlite.learning.models import ModelError
from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.inverted import InvertedResidual, unit
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

_RELU = partial(nn.ReLU, inplace=True)


def elastic(
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float = 1.0,
    norm: str = "group",
    blocks: int = 3,
    channels: int = 24,
    kernel: int = 5,
    expansion: int = 3,
) -> nn.Sequential:
    """Return a strided 3x3 convolution, inverted residual blocks of as many channels, pooling and a classifier.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image (channels, height, width).
    norm : str
        "group", "batch" or "static".
    blocks : int
        Inverted residual blocks.
    channels : int
        Channels between blocks, a multiple of 8.
    kernel : int
        Of the depthwise convolutions, odd.
    expansion : int
        Channels inside of a block over those between blocks, 2 or more.

    Raises
    ------
    ModelError
        If a number is out of range.
    """
    inputs, _, _ = image_shape("elastic", input_shape)
    for name, value, fits, expected in (
        ("blocks", blocks, blocks >= 1, "1 or more"),
        ("channels", channels, channels >= 1 and channels % CHANNEL_MULTIPLE == 0, "a multiple of 8"),
        ("kernel", kernel, kernel >= 1 and kernel % 2 == 1, "an odd number"),
        ("expansion", expansion, expansion > 1, "2 or more"),
    ):
        if not fits:
            raise ModelError(f"model 'elastic': {name}: got {value}, expected {expected}; write another")
    maps = scaled(channels, width, CHANNEL_MULTIPLE)
    wide = maps * expansion
    body = [
        InvertedResidual(maps, wide, maps, kernel, 1, norm, _RELU, expands=True, residual=True) for _ in range(blocks)
    ]
    parts: list[tuple[str, nn.Module]] = [
        ("stem", nn.Sequential(*unit(inputs, maps, 3, 2, 1, norm, _RELU))),
        ("blocks", nn.Sequential(*body)),
        ("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())),
        ("head", nn.Linear(maps, num_classes)),
    ]
    model = nn.Sequential(OrderedDict(parts))
    he_initial(model)
    return model
