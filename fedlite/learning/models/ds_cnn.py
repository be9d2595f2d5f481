"""DS-CNN: depthwise-separable convolutions for keyword spotting, the size of the MLPerf Tiny benchmark.

References
----------
Zhang et al. 2017, "Hello Edge: keyword spotting on microcontrollers".
Banbury et al. 2021, "MLPerf Tiny benchmark" (keyword spotting reference model; its dropout is left out).
"""

from __future__ import annotations

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.norms import norm_2d
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled


def ds_cnn(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, norm: str = "group", blocks: int = 4
) -> nn.Sequential:
    """Return a 10x4 strided convolution, `blocks` depthwise-separable blocks of 64 channels, pooling and a classifier.

    23,756 trainable parameters on 1x49x10 with 12 classes.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; (channels, frames, coefficients), sides of at least 4.
    norm : str
        "group" or "batch".
    blocks : int
        Depthwise-separable blocks.
    """
    inputs, _, _ = image_shape("ds-cnn", input_shape)
    maps = scaled(64, width, CHANNEL_MULTIPLE)
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, maps, (10, 4), stride=2, padding=(5, 1)),
        norm_2d(norm, maps),
        nn.ReLU(inplace=True),
    ]
    for _block in range(blocks):
        layers += [
            nn.Conv2d(maps, maps, 3, padding=1, groups=maps),
            norm_2d(norm, maps),
            nn.ReLU(inplace=True),
            nn.Conv2d(maps, maps, 1),
            norm_2d(norm, maps),
            nn.ReLU(inplace=True),
        ]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, num_classes))
    he_initial(model)
    return model
