"""Inputs as they come from the field: noisy, weak or with holes. Severity is in units of the inputs' own deviation.

References
----------
Hendrycks, Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (noise,
contrast; here for any float inputs, with one severity each).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fedlite.rng import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

NOISE: Final = 0.5
"""Standard deviations of added noise."""
WEAK: Final = 0.4
"""Factor on the distance from the mean."""
HOLES: Final = 0.2
"""Share of the values that are replaced by the mean."""


def noisy(x: Floats, seed: int) -> Floats:
    """Return inputs with Gaussian noise."""
    noise = stream(seed, "corruption noise").standard_normal(x.shape)
    return np.asarray(x + NOISE * x.std() * noise, np.float32)


def weak(x: Floats, _seed: int) -> Floats:
    """Return inputs of low contrast, or small amplitude."""
    return np.asarray(x.mean() + WEAK * (x - x.mean()), np.float32)


def with_holes(x: Floats, seed: int) -> Floats:
    """Return inputs of which some values are missing."""
    lost = stream(seed, "corruption holes").random(x.shape) < HOLES
    return np.asarray(np.where(lost, x.mean(), x), np.float32)


CORRUPTIONS: Final[dict[str, Callable[[Floats, int], Floats]]] = {"noise": noisy, "weak": weak, "holes": with_holes}
"""Name -> function of (inputs (N, ...), seed)."""
