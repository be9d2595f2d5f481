"""Deep leakage from gradients: inputs and labels that cause the gradient that was seen, by L-BFGS.

It derives gradients, so that it needs a net that is smooth (sigmoid or tanh): of a piecewise linear one it learns
little. Several starts are tried; the one that ends nearest to what was seen is kept, which the adversary can tell.

References
----------
Zhu, Liu, Han 2019, "Deep leakage from gradients", algorithm 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.attacks.gradients import Seen


def deep_leakage(
    seen: Seen,
    shape: tuple[int, ...],
    classes: int,
    rng: np.random.Generator,
    *,
    steps: int = 300,
    starts: int = 4,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the inputs (B, ...) and labels (B,) that are found.

    Parameters
    ----------
    seen : Seen
    shape : tuple of int
        Of the batch, (B, ...).
    classes : int
    rng : Generator
        Draws the starts.
    steps : int
        Most iterations of each start.
    starts : int
    """
    inputs, labels = int(np.prod(shape)), shape[0] * classes

    def parts(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return flat[:inputs].reshape(shape), flat[inputs:].reshape(shape[0], classes).softmax(dim=1)

    def distance(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        flat = torch.tensor(values, dtype=torch.float32, requires_grad=True)
        cost = seen.squared_distance(*parts(flat))
        (slope,) = torch.autograd.grad(cost, flat)
        return float(cost.detach()), slope.numpy().astype(np.float64)

    found = []
    for _ in range(starts):
        start = rng.normal(size=inputs + labels)
        # Squared distances of clipped gradients are tiny: they are measured by what the start is off.
        scale = 1.0 / max(distance(start)[0], 1e-30)
        found.append(
            minimize(
                lambda values, scale=scale: tuple(scale * part for part in distance(values)),
                start,
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": steps, "ftol": 0.0, "gtol": 0.0},
            ).x
        )
    best = min(found, key=lambda values: distance(values)[0])
    x, y = parts(torch.tensor(best, dtype=torch.float32))
    return x.numpy(), y.argmax(dim=1).numpy()
