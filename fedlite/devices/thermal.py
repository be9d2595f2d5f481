"""Thermal throttling as a slow state, in closed form: full speed for a while, then a steady fraction of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Number = float | Floats


def throttled_s(work_s: Number, onset_s: Number, sustained: Number, *, warm_s: Number = 0.0) -> Floats:
    """Return how long work takes that would need `work_s` on a device that never gets warm.

    Parameters
    ----------
    work_s : float or (N,)
        Time at full speed.
    onset_s : float or (N,)
        Time of continuous work after which the device slows down; inf if it never does.
    sustained : float or (N,)
        Speed from then on, as a fraction of full speed, in (0, 1].
    warm_s : float or (N,)
        Continuous work that the device has just done.
    """
    work = np.asarray(work_s, dtype=np.float64)
    cold_s = np.minimum(work, np.maximum(np.asarray(onset_s, dtype=np.float64) - warm_s, 0.0))
    return cold_s + (work - cold_s) / sustained


def done_s(elapsed_s: Number, onset_s: Number, sustained: Number, *, warm_s: Number = 0.0) -> Floats:
    """Return how much full-speed work is done after `elapsed_s`: the inverse of `throttled_s`."""
    elapsed = np.asarray(elapsed_s, dtype=np.float64)
    cold_s = np.minimum(elapsed, np.maximum(np.asarray(onset_s, dtype=np.float64) - warm_s, 0.0))
    return cold_s + (elapsed - cold_s) * sustained
