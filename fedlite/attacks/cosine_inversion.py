"""Inverting gradients: inputs whose gradient points the way of the one that was seen, and that are smooth pictures.

The angle alone is compared, so that clipping and learning rate do not matter. Labels are known, or read off the last
layer first. Adam follows the sign of the derivative, its rate falls tenfold at 3/8, 5/8 and 7/8 of the way.

References
----------
Geiping, Bauermeister, Droege, Moeller 2020, "Inverting gradients: how easy is it to break privacy in federated
learning?", equation 4.
Rudin, Osher, Fatemi 1992, "Nonlinear total variation based noise removal algorithms" (the prior).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from fedlite.attacks.gradients import Seen

_BETAS, _TINY = (0.9, 0.999), 1e-8
"""Of Adam."""


def invert_by_angle(
    seen: Seen,
    labels: NDArray[np.int64],
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    steps: int = 300,
    lr: float = 0.1,
    smooth: float = 1e-3,
    low: float = 0.0,
    high: float = 1.0,
) -> NDArray[np.float32]:
    """Return the inputs (B, ...) that are found, within the data's range.

    Parameters
    ----------
    seen : Seen
    labels : ndarray of int, shape (B,)
    shape : tuple of int
        Of one input.
    rng : Generator
        Draws the start.
    steps, lr : int, float
    smooth : float
        Weight of the total variation; only of inputs that are pictures, (..., height, width).
    low, high : float
        The range of the data's values.
    """
    x = torch.tensor(rng.uniform(low, high, size=(len(labels), *shape)), dtype=torch.float32)
    y = torch.as_tensor(labels)
    mean, square = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(steps):
        x.requires_grad_()
        cost = seen.cosine_distance(x, y) + smooth * total_variation(x)
        slope = torch.autograd.grad(cost, x)[0].sign()
        mean, square = _BETAS[0] * mean + (1 - _BETAS[0]) * slope, _BETAS[1] * square + (1 - _BETAS[1]) * slope**2
        rate = lr * (high - low) * 0.1 ** sum(step >= steps * part // 8 for part in (3, 5, 7))
        way = (mean / (1 - _BETAS[0] ** (step + 1))) / ((square / (1 - _BETAS[1] ** (step + 1))).sqrt() + _TINY)
        x = (x.detach() - rate * way).clamp(low, high)
    return x.numpy()


def total_variation(x: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels of (B, ..., height, width); 0 of what is no picture.

    An input of two dimensions, (B, n), is no picture.
    """
    if x.dim() < 3:  # noqa: PLR2004 -- batch, height, width
        return x.new_zeros(())
    return (x[..., 1:, :] - x[..., :-1, :]).abs().mean() + (x[..., :, 1:] - x[..., :, :-1]).abs().mean()
