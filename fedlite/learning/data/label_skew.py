"""How unequal a partition is: sizes, classes held, distance from the overall mix of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class LabelSkew:
    """One partition in a few numbers. All clients without rows are left out of the class statistics."""

    clients: int
    rows: int
    size_min: int
    size_median: float
    size_max: int
    classes_mean: float
    """Mean number of classes that a client holds."""
    distance_mean: float
    """Mean total-variation distance of a client's label mix from the overall mix: 0 = alike, 1 = nothing in common."""
    distance_max: float


def label_counts(parts: Sequence[Ints], labels: Ints, num_classes: int) -> Ints:
    """Return how many rows of each class each client holds, shape (clients, num_classes)."""
    client = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    held = labels[np.concatenate(parts)]
    flat = np.bincount(client * num_classes + held, minlength=len(parts) * num_classes)
    return flat.reshape(len(parts), num_classes)


def label_skew(parts: Sequence[Ints], labels: Ints, num_classes: int) -> LabelSkew:
    """Return the sizes and the label skew of a partition; a row counts once for each client that holds it."""
    counts = label_counts(parts, labels, num_classes)
    sizes = counts.sum(axis=1)
    held = counts[sizes > 0]
    overall = counts.sum(axis=0) / max(1, int(sizes.sum()))
    distance = 0.5 * np.abs(held / held.sum(axis=1, keepdims=True) - overall).sum(axis=1)
    return LabelSkew(
        clients=len(parts),
        rows=int(sizes.sum()),
        size_min=int(sizes.min()),
        size_median=float(np.median(sizes)),
        size_max=int(sizes.max()),
        classes_mean=float((held > 0).sum(axis=1).mean()) if len(held) else 0.0,
        distance_mean=float(distance.mean()) if len(held) else 0.0,
        distance_max=float(distance.max(initial=0.0)),
    )
