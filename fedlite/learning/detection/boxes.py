"""Boxes that overlap, and which of several that tell one object is kept.

A box is x0, y0, x1, y1; areas below are of any unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def overlap(ours: Array, theirs: Array) -> Array:
    """Return intersection over union of all pairs, (..., n, m), of (..., n, 4) and (..., m, 4); 0 without area."""
    one, other = ours[..., :, None, :], theirs[..., None, :, :]
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    common = np.clip(sides, 0, None).prod(axis=-1)
    union = area(one) + area(other) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def area(boxes: Array) -> Array:
    """Return the area of boxes (..., 4), 0 if a side is negative."""
    return np.asarray(np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1))


def kept(detections: Array, most: float = 0.5) -> NDArray[np.bool_]:
    """Return which detections stay, (N, n): none overlaps a surer one of its own class and picture by more than `most`.

    Parameters
    ----------
    detections : array (N, n, 6)
        Confidence, class, and the box, of n detections in each of N pictures. Of equally sure ones the first is surer.
    """
    order = np.argsort(-detections[..., 0], axis=1, kind="stable")
    ranked = np.take_along_axis(detections, order[..., None], axis=1)
    alike = (overlap(ranked[..., 2:], ranked[..., 2:]) > most) & (ranked[..., 1][..., None] == ranked[..., 1][:, None])
    stays = np.ones(order.shape, dtype=bool)
    for rank in range(1, order.shape[1]):
        stays[:, rank] = ~(alike[:, rank, :rank] & stays[:, :rank]).any(axis=1)
    found = np.empty_like(stays)
    np.put_along_axis(found, order, stays, axis=1)
    return found
