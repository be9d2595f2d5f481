"""How alike a picture is that was reconstructed: PSNR and SSIM, and who is taken for whom.

References
----------
Wang, Bovik, Sheikh, Simoncelli 2004, "Image quality assessment: from error visibility to structural similarity",
equation 13 with K1 = 0.01 and K2 = 0.03; here windows are square and every pixel of one weighs the same.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

CAP_DB: Final = 120.0
"""What an exact reconstruction is told as: float32 has no more."""
_WINDOW: Final = 7
_K1, _K2 = 0.01, 0.03


def psnr(truth: Floats, guess: Floats, span: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio in dB, at most `CAP_DB`; `span` is the range of the data's values."""
    error = float(np.mean(np.square(np.asarray(truth, np.float64) - guess)))
    if error <= span**2 * 10.0 ** (-CAP_DB / 10.0):
        return CAP_DB
    return 10.0 * float(np.log10(span**2 / error))


def ssim(truth: Floats, guess: Floats, span: float = 1.0) -> float:
    """Return the mean structural similarity of two pictures of shape (..., height, width); NaN of what is no picture.

    The window has 7 x 7 pixels, or what there is of fewer.
    """
    if truth.ndim < 2:  # noqa: PLR2004 -- a picture has height and width
        return float("nan")
    size = (min(_WINDOW, truth.shape[-2]), min(_WINDOW, truth.shape[-1]))
    one, two = (sliding_window_view(np.asarray(part, np.float64), size, axis=(-2, -1)) for part in (truth, guess))
    over = (-2, -1)
    mean_1, mean_2 = one.mean(over), two.mean(over)
    both = (one * two).mean(over) - mean_1 * mean_2
    spread = one.var(over) + two.var(over)
    light, contrast = (_K1 * span) ** 2, (_K2 * span) ** 2
    found = (2 * mean_1 * mean_2 + light) * (2 * both + contrast)
    return float(np.mean(found / ((mean_1**2 + mean_2**2 + light) * (spread + contrast))))


def nearest_guess(truths: Floats, guesses: Floats) -> NDArray[np.int64]:
    """Return for each truth, shape (n, ...), the guess of shape (k, ...) that is nearest to it: an oracle's choice."""
    flat, others = truths.reshape(len(truths), -1), guesses.reshape(len(guesses), -1)
    errors = [np.square(others.astype(np.float64) - row).sum(axis=1) for row in flat]
    return np.array([int(np.argmin(each)) for each in errors], dtype=np.int64)
