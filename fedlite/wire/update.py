"""Weights to update and back: what a codec with `sends_update` carries.

Integer tensors (counters such as BatchNorm's) have no meaningful difference and travel as values in both directions.
numpy makes a number of a difference without dimensions; here it stays an array of shape ().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]


def to_update(arrays: Sequence[Array], received: Sequence[Array]) -> list[Array]:
    """Return `arrays - received` for floating tensors and `arrays` for the others."""
    return [np.asarray(new - old) if is_float(new) else new for new, old in zip(arrays, received, strict=True)]


def from_update(update: Sequence[Array], received: Sequence[Array]) -> list[Array]:
    """Return `received + update` for floating tensors and `update` for the others; the inverse of `to_update`."""
    return [np.asarray(old + new) if is_float(new) else new for new, old in zip(update, received, strict=True)]


def is_float(array: Array) -> bool:
    """Tell whether a tensor is part of the update's geometry; counters are not."""
    return np.issubdtype(array.dtype, np.floating)
