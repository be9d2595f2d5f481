"""Clipping of a client's update before it leaves the device.

References
----------
McMahan et al. 2018, "Learning differentially private recurrent language models", section 2.2 (flat clipping).
Andrew et al. 2021, "Differentially private learning with adaptive clipping" (the indicator bit).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]


def clip_update(arrays: Sequence[Array], received: Sequence[Array], clipping_norm: float) -> tuple[list[Array], bool]:
    """Return the arrays with their difference to `received` scaled to at most `clipping_norm` (L2 over all tensors).

    Also returns whether the update was clipped. Integer tensors are counters, carry no gradient and pass unchanged.
    """
    floating = [np.issubdtype(array.dtype, np.floating) for array in arrays]
    update = [new - old for new, old in zip(arrays, received, strict=True)]
    squared = sum(
        float(np.sum(np.square(part, dtype=np.float64)))
        for part, is_float in zip(update, floating, strict=True)
        if is_float
    )
    norm = float(np.sqrt(squared))
    if norm <= clipping_norm:
        return list(arrays), False
    scale = np.float32(clipping_norm / norm)
    clipped = [
        old + part * scale if is_float else new
        for new, old, part, is_float in zip(arrays, received, update, floating, strict=True)
    ]
    return clipped, True


def add_noise(arrays: Sequence[Array], std: float, rng: np.random.Generator) -> list[Array]:
    """Return the floating tensors with independent Gaussian noise of standard deviation `std` added."""
    return [
        array + rng.normal(0.0, std, array.shape).astype(array.dtype) if array.dtype.kind == "f" else array
        for array in arrays
    ]
