"""MobileNetV3-Small: inverted residual blocks found by search, with squeeze and excitation and hard swish.

References
----------
Howard et al. 2019, "Searching for MobileNetV3", table 2 and section 5.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from torch import nn

from fedlite.learning.models.initial import he_initial
from fedlite.learning.models.inverted import Excitation, InvertedResidual, unit
from fedlite.learning.models.shapes import image_shape
from fedlite.learning.models.stems import is_small
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, divisible, scaled

_RELU: Final = partial(nn.ReLU, inplace=True)
_SWISH: Final = partial(nn.Hardswish, inplace=True)
_BLOCKS: Final = (
    (3, 16, 16, True, _RELU, 2),
    (3, 72, 24, False, _RELU, 2),
    (3, 88, 24, False, _RELU, 1),
    (5, 96, 40, True, _SWISH, 2),
    (5, 240, 40, True, _SWISH, 1),
    (5, 240, 40, True, _SWISH, 1),
    (5, 120, 48, True, _SWISH, 1),
    (5, 144, 48, True, _SWISH, 1),
    (5, 288, 96, True, _SWISH, 2),
    (5, 576, 96, True, _SWISH, 1),
    (5, 576, 96, True, _SWISH, 1),
)
"""(kernel, expanded maps, output maps, whether they are excited, activation, stride) per block."""
_STEM: Final = 16
_LAST: Final = 576
_HIDDEN: Final = 1024


def mobilenet_v3_small(
    input_shape: tuple[int, ...], num_classes: int, width: float = 1.0, norm: str = "group", stem: str = "imagenet"
) -> nn.Sequential:
    """Return MobileNetV3-Small; 2,542,856 parameters with 1,000 classes.

    Parameters
    ----------
    input_shape, num_classes, width
        As in `fedlite.learning.models.build`; an image with sides of at least 28.
    norm : str
        "group" or "batch".
    stem : str
        "imagenet" (stride 2) or "small" (stride 1) for images of about 32 pixels.
    """
    inputs, _, _ = image_shape("mobilenet-v3-small", input_shape)

    def maps(full: int) -> int:
        return scaled(full, width, CHANNEL_MULTIPLE)

    now, before = maps(_STEM), _STEM
    layers = unit(inputs, now, 3, 1 if is_small(stem) else 2, 1, norm, _SWISH)
    for kernel, expanded, full, excited, activation, stride in _BLOCKS:
        wide, after = maps(expanded), maps(full)
        squeezed = scaled(divisible(expanded / 4), width)
        gates = Excitation(wide, squeezed, _RELU, partial(nn.Hardsigmoid, inplace=True)) if excited else None
        # By the full net's maps: slices of two different widths may round to the same.
        expands, residual = expanded != before, stride == 1 and full == before
        layers.append(
            InvertedResidual(
                now, wide, after, kernel, stride, norm, activation, expands=expands, residual=residual, excitation=gates
            )
        )
        now, before = after, full
    last, hidden = maps(_LAST), scaled(_HIDDEN, width)
    layers += unit(now, last, 1, 1, 1, norm, _SWISH)
    classifier = [nn.Linear(last, hidden), _SWISH(), nn.Linear(hidden, num_classes)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *classifier)
    he_initial(model)
    return model
