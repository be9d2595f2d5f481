"""The likelihood-ratio attack: a model's confidence held against those of models with and without the example.

Shadow models are trained like the target, each on a random part of the examples. The confidence p of the right class is
scaled to log p / (1 - p), which is about normal over models. Online, an example's score is the log likelihood ratio of
two Gaussians, those of the shadows with and without it; offline, only those without it are needed, and the score says
how unlikely the confidence is to be that low.

References
----------
Carlini, Chien, Nasr, Song, Terzis, Tramer 2022, "Membership inference attacks from first principles", algorithm 1, its
offline form, and one variance for all examples where shadows are few.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Floats = NDArray[np.floating[Any]]

ENOUGH: Final = 64
"""Shadow models from which on each example gets a variance of its own, as the paper advises."""
_LEAST_STD: Final = 1e-6


def scaled_confidence(logits: Floats, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return log p / (1 - p) of the right class, shape (n,), from logits (n, classes), without ever rounding p to 1."""
    logits = np.asarray(logits, np.float64)
    rows = np.arange(len(labels))
    right = logits[rows, labels]
    others = logits.copy()
    others[rows, labels] = -np.inf
    most = others.max(axis=1)
    return np.asarray(right - (most + np.log(np.exp(others - most[:, None]).sum(axis=1))))


def online_scores(target: Floats, shadows: Floats, within: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the log likelihood ratio of each example, higher meaning more of a member.

    Parameters
    ----------
    target : ndarray, shape (n,)
        Scaled confidence of the model under attack.
    shadows : ndarray, shape (K, n)
        Those of the shadow models.
    within : ndarray of bool, shape (K, n)
        Which shadow models saw which examples; each example some of either kind.
    """
    return _log_density(target, shadows, within) - _log_density(target, shadows, ~within)


def offline_scores(target: Floats, shadows: Floats, within: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the log probability that a model without the example is less confident; parameters as `online_scores`."""
    mean, std = _fits(shadows, ~within)
    return np.asarray(log_ndtr((target - mean) / std))


def _log_density(target: Floats, shadows: Floats, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    mean, std = _fits(shadows, chosen)
    return np.asarray(-0.5 * np.square((target - mean) / std) - np.log(std))


def _fits(shadows: Floats, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation per example over the chosen shadow models."""
    counts = chosen.sum(axis=0)
    mean = np.where(chosen, shadows, 0.0).sum(axis=0) / counts
    squares = np.where(chosen, np.square(shadows - mean), 0.0)
    if len(shadows) >= ENOUGH:
        variance = squares.sum(axis=0) / counts
    else:
        variance = np.full(mean.shape, squares.sum() / counts.sum())
    return mean, np.maximum(np.sqrt(variance), _LEAST_STD)
