"""EfficientNet-B0 and EfficientNet-Lite0, which is the same net without gates and with ReLU6, made to be quantised.

References
----------
Tan, Le 2019, "EfficientNet: Rethinking model scaling for convolutional neural networks", table 1.
EfficientNet-Lite: model page of the authors (tensorflow/tpu, models/official/efficientnet/lite), 4.7 M parameters.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.inverted import Excitation, InvertedResidual, unit
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.stems import is_small
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

if TYPE_CHECKING:
    from fedlite.learning.models.inverted import Activation

_STAGES: Final = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
"""(expansion, kernel, output maps, blocks, stride of the first block) per stage."""
_STEM: Final = 32
_LAST: Final = 1280
_SQUEEZE: Final = 4
"""Maps of a block's input to each of its squeezed ones."""


def efficientnet_b0(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, norm: str = "group", stem: str = "imagenet"
) -> nn.Sequential:
    """Return EfficientNet-B0; 5,288,548 parameters with 1,000 classes.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 28.
    norm : str
        "group" or "batch".
    stem : str
        "imagenet" (stride 2) or "small" (stride 1) for images of about 32 pixels.
    """
    swish = partial(nn.SiLU, inplace=True)
    return _efficientnet("efficientnet-b0", input_shape, num_classes, width, norm, stem, swish, excited=True)


def efficientnet_lite0(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, norm: str = "group", stem: str = "imagenet"
) -> nn.Sequential:
    """Return EfficientNet-Lite0; 4,652,008 parameters with 1,000 classes. The parameters are those of B0."""
    relu6 = partial(nn.ReLU6, inplace=True)
    return _efficientnet("efficientnet-lite0", input_shape, num_classes, width, norm, stem, relu6, excited=False)


def _efficientnet(
    name: str,
    input_shape: tuple[int, ...],
    num_classes: int,
    width: float,
    norm: str,
    stem: str,
    activation: Activation,
    *,
    excited: bool,
) -> nn.Sequential:
    inputs, _, _ = image_shape(name, input_shape)
    before, now = _STEM, scaled(_STEM, width, CHANNEL_MULTIPLE)
    layers = unit(inputs, now, 3, 1 if is_small(stem) else 2, 1, norm, activation)
    for expansion, kernel, full, blocks, first_stride in _STAGES:
        for index in range(blocks):
            wide, after = now * expansion, scaled(full, width, CHANNEL_MULTIPLE)
            gates = Excitation(wide, scaled(before // _SQUEEZE, width), activation, nn.Sigmoid) if excited else None
            stride = first_stride if index == 0 else 1
            layers.append(
                InvertedResidual(
                    now, wide, after, kernel, stride, norm, activation,
                    expands=expansion > 1, residual=index > 0, excitation=gates,
                )
            )  # fmt: skip
            before, now = full, after
    last = scaled(_LAST, width, CHANNEL_MULTIPLE)
    layers += unit(now, last, 1, 1, 1, norm, activation)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, num_classes))
    he_initial(model)
    return model
