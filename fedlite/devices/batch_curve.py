"""A quantity of one network against its batch size: affine, from one or more measured batches, with a cliff for phones.

Time, energy and resident memory of a training step are affine in the batch (MNN suite: 3-4 % off at the batches between
two anchors). With one anchor the ratio of the fixed part to the part per sample comes from the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class BatchCurve:
    """`fixed + per_sample * batch`."""

    fixed: float
    per_sample: float

    def at(self, batch: float) -> float:
        """Return the quantity at a batch size."""
        return self.fixed + self.per_sample * batch


def through(batches: Sequence[int], values: Sequence[float], fixed_over_per_sample: float) -> BatchCurve:
    """Return the curve through one anchor (given its shape), two (exactly) or more (least relative squares).

    Raises
    ------
    FedliteError
        If there is no anchor or a value is not positive.
    """
    if not batches or min(values) <= 0.0:
        raise FedliteError(
            f"batch curve: got {list(values)} at batches {list(batches)}; give one positive value or more"
        )
    if len(set(batches)) == 1:
        scale = float(np.mean(values)) / (fixed_over_per_sample + batches[0])
        return BatchCurve(scale * fixed_over_per_sample, scale)
    weights = 1.0 / np.asarray(values, dtype=np.float64)
    design = np.column_stack([np.ones(len(batches)), np.asarray(batches, dtype=np.float64)])
    fixed, per_sample = np.linalg.lstsq(design * weights[:, None], np.ones(len(batches)), rcond=None)[0]
    if per_sample < 0.0:  # noise: larger batches measured cheaper
        return BatchCurve(float(np.mean(values)), 0.0)
    if fixed < 0.0:
        slope = float(np.sum(design[:, 1] * weights) / np.sum((design[:, 1] * weights) ** 2))
        return BatchCurve(0.0, slope)
    return BatchCurve(float(fixed), float(per_sample))
