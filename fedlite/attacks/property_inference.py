"""Whether a client's data has a property, told by a classifier of updates that was trained on updates of known data.

The classifier is a logistic regression with a quadratic penalty. Its solution lies in the span of the examples, so that
it is found there by Newton's method, however many coordinates an update has.

References
----------
Melis, Song, De Cristofaro, Shmatikov 2019, "Exploiting unintended feature leakage in collaborative learning" (a
binary classifier on gradients of batches with and without the property).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.floating[Any]]

_STEPS = 50
_SMALL = 1e-10


@dataclass(frozen=True)
class PropertyClassifier:
    """Scores of updates: w . (x / |x| - mean) + offset, above 0 where the property is likelier than not.

    Updates are compared by their direction, so that how long they were clipped to tells nothing.
    """

    mean: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: float

    @classmethod
    def fit(cls, updates: Floats, has: NDArray[np.bool_], penalty: float = 1e-2) -> Self:
        """Return the classifier fitted to updates (n, d), of which `has` (n,) says which have the property."""
        x = _directions(updates)
        mean = x.mean(axis=0)
        left, sizes, right = np.linalg.svd(x - mean, full_matrices=False)
        kept = sizes > _SMALL * sizes.max(initial=1.0)
        # Coordinates in the span, of unit spread; the last is the offset's, which is not penalised.
        scale = sizes[kept].max(initial=_SMALL)
        inside = np.column_stack([left[:, kept] * (sizes[kept] / scale) * np.sqrt(len(x)), np.ones(len(x))])
        found = _newton(inside, has.astype(np.float64), penalty)
        weights = right[kept].T @ found[:-1] * np.sqrt(len(x)) / scale
        return cls(mean, weights, float(found[-1]))

    def scores(self, updates: Floats) -> NDArray[np.float64]:
        """Return the log odds of the property of each update (n, d)."""
        return np.asarray((_directions(updates) - self.mean) @ self.weights + self.offset)


def _directions(updates: Floats) -> NDArray[np.float64]:
    lengths = np.linalg.norm(np.asarray(updates, np.float64), axis=1, keepdims=True)
    return np.asarray(np.asarray(updates, np.float64) / np.maximum(lengths, 1e-30))


def _newton(x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    ridge = np.full(x.shape[1], penalty)
    ridge[-1] = 1e-9
    found = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        odds = expit(x @ found)
        slope = x.T @ (odds - y) / len(y) + ridge * found
        curve = (x.T * (odds * (1 - odds))) @ x / len(y) + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        found = found - step
        if np.abs(step).max() < _SMALL:
            break
    return found
