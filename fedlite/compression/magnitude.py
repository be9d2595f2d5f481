"""Magnitude masks: which weights are held at zero because they are the smallest.

A mask saves neither training time nor memory: zeros are stored and multiplied like other numbers. It saves bytes on the
wire through a sparse codec ("nonzero") or a lossless stage, which really encode the zeros away.

References
----------
Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", section 3 (magnitude pruning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedlite.errors import FedliteError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]
Mask = NDArray[np.float32]

_MATRIX = 2


class MaskError(FedliteError):
    """A mask cannot be made, or does not fit its model."""


def masks(arrays: Sequence[Array], names: Sequence[str], sparsity: float, scope: str = "global") -> list[Mask | None]:
    """Return for each tensor a mask of ones and zeros, or None where nothing is pruned.

    Only matrices and convolution kernels are pruned (two dimensions or more, floating); biases, normalisation weights
    and counters stay dense, as they are few and every output depends on them.

    Parameters
    ----------
    arrays, names : sequences
        The model's tensors and their names.
    sparsity : float
        Share of the prunable weights that becomes zero, from 0 to below 1; the count is rounded to the nearest.
    scope : str
        "global": the smallest weights of the whole model, so that layers differ in density. "local":
        the same share of every layer.

    Raises
    ------
    MaskError
        If the sparsity is out of range or a weight is not finite.
    UnknownNameError
        If the scope is neither.
    """
    if not 0 <= sparsity < 1:
        raise MaskError(f"mask: got sparsity {sparsity}, expected from 0 to below 1; 0.9 zeroes 90 % of the weights")
    if scope not in ("global", "local"):
        raise UnknownNameError("mask scope", scope, ["global", "local"])
    if len(names) != len(arrays):
        raise MaskError(f"mask: got {len(names)} names for {len(arrays)} tensors; pass one name per tensor")
    for name, array in zip(names, arrays, strict=True):
        if _prunable(array) and not np.isfinite(array).all():
            raise MaskError(
                f"mask: {name} holds values that are not finite; magnitudes cannot be ranked, check training"
            )
    chosen = [position for position, array in enumerate(arrays) if _prunable(array)]
    groups = [chosen] if scope == "global" else [[position] for position in chosen]
    out: list[Mask | None] = [None] * len(arrays)
    for group in groups:
        if group:
            keep = _largest(np.concatenate([np.abs(arrays[position]).reshape(-1) for position in group]), sparsity)
            ends = np.cumsum([arrays[position].size for position in group])[:-1]
            for position, part in zip(group, np.split(keep, ends), strict=True):
                out[position] = part.reshape(arrays[position].shape).astype(np.float32)
    return out


def apply(arrays: Sequence[Array], masks: Sequence[Mask | None]) -> list[Array]:
    """Return the tensors with the masked weights set to zero; tensors without a mask are returned as they are."""
    return [
        array if mask is None else np.where(mask > 0, array, np.zeros((), array.dtype))
        for array, mask in zip(arrays, masks, strict=True)
    ]


def density(masks: Sequence[Mask | None]) -> float:
    """Return the share of the prunable weights that is kept; 1 if nothing is pruned."""
    present = [mask for mask in masks if mask is not None]
    total = sum(mask.size for mask in present)
    return sum(int(np.count_nonzero(mask)) for mask in present) / total if total else 1.0


def _prunable(array: Array) -> bool:
    return array.ndim >= _MATRIX and np.issubdtype(array.dtype, np.floating)


def _largest(magnitudes: Array, sparsity: float) -> NDArray[np.bool_]:
    """Return which elements stay: exactly `round(sparsity * n)` go, ties broken by position."""
    zeros = round(sparsity * magnitudes.size)
    keep = np.ones(magnitudes.size, np.bool_)
    if zeros:
        limit = np.partition(magnitudes, zeros - 1)[zeros - 1]
        keep[magnitudes < limit] = False
        missing = zeros - int(np.count_nonzero(~keep))
        keep[np.flatnonzero(magnitudes == limit)[:missing]] = False
    return keep
