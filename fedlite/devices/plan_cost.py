"""What a compression plan does to the time of a training step: only structure saves, masks and fake-quant cost.

Measured on one x86 core (torch 2.13, batch 16, 64x64; medians of 12 interleaved steps), relative speed of a step:

    ==================  ========  ===========
    plan                ResNet18  MobileNetV2
    ==================  ========  ===========
    width 0.75          1.66      1.28
    width 0.50          3.23      1.93
    width 0.25          8.05      2.99
    masked 90 %         0.90      0.97
    fake-quant int8     0.53      0.45
    ==================  ========  ===========

Host times carry over as ratios only; that is all this module uses.
"""

from __future__ import annotations

import numpy as np

from fedlite.errors import FedliteError

WIDTHS = (0.25, 0.5, 0.75, 1.0)
SPEED_RESNET18 = (8.05, 3.23, 1.66, 1.0)
SPEED_MOBILENET_V2 = (2.99, 1.93, 1.28, 1.0)
MASKED_SPEED = (0.90, 0.97)
FAKE_QUANT_SPEED = (0.45, 0.53)


def width_time_factor(width: float) -> float:
    """Return the time of a step at `width` relative to full width: geometric mean of the two measured curves.

    Linear in log time between the measured widths, and held at the last of them below 0.25.
    """
    if not 0.0 < width <= 1.0:
        raise FedliteError(f"width: got {width}, expected more than 0 and at most 1; 0.5 keeps half of the channels")
    speeds = np.sqrt(np.array(SPEED_RESNET18) * np.array(SPEED_MOBILENET_V2))
    return float(np.exp(-np.interp(np.log(width), np.log(WIDTHS), np.log(speeds))))


def plan_time_factor(
    width: float = 1.0, sparsity: float = 0.0, bits: int | None = None, *, retraced: bool = False
) -> float:
    """Return the time of a training step under a plan, relative to the full plan.

    Parameters
    ----------
    width : float
        Share of the channels kept.
    sparsity : float
        Share of weights masked; masks cost the multiplication by the mask and save nothing.
    bits : int, optional
        Fake-quantised training, which costs about twice the time.
    retraced : bool
        Whether the workload was traced from the sliced model, so that the width is priced already.
    """
    factor = 1.0 if retraced else width_time_factor(width)
    if not 0.0 <= sparsity < 1.0:
        raise FedliteError(f"sparsity: got {sparsity}, expected 0 or more and less than 1")
    if sparsity > 0.0:
        factor /= float(np.sqrt(np.prod(MASKED_SPEED)))
    if bits is not None and bits < _FLOAT_BITS:
        factor /= float(np.sqrt(np.prod(FAKE_QUANT_SPEED)))
    return factor


_FLOAT_BITS = 32
