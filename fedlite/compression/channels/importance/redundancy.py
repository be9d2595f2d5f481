"""An order in which units can be left out because another one is like them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TINY = 1e-12


def cosines(rows: Array) -> Array:
    """Return the cosine of the angle between each two rows, (n, n); 0 where a row is zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > TINY)
    return np.asarray(np.clip(unit @ unit.T, -1.0, 1.0))


def leaving(alike: Array, least: float = -np.inf) -> list[int]:
    """Return units in the order in which they go: always one of the two that are most alike.

    Of these two that one goes which is more like all the others that are left; of equals the later.

    Parameters
    ----------
    alike : ndarray, shape (n, n)
        Symmetric: the larger, the more alike.
    least : float
        Stop as soon as no two are as much alike.
    """
    n = len(alike)
    pairs = np.where(np.eye(n, dtype=np.bool_), -np.inf, alike)
    total = np.where(np.eye(n, dtype=np.bool_), 0.0, alike).sum(axis=1)
    best = pairs.max(axis=1, initial=-np.inf)
    gone: list[int] = []
    while len(gone) < n - 1:
        one = int(np.argmax(best))
        if best[one] < least:
            break
        other = int(np.argmax(pairs[one]))
        first, last = sorted((one, other))
        out = first if total[first] > total[last] + TINY else last
        gone.append(out)
        total -= np.where(np.isfinite(pairs[out]), pairs[out], 0.0)
        stale = best <= pairs[out]
        pairs[out], pairs[:, out] = -np.inf, -np.inf
        stale[out] = True
        best[stale] = pairs[stale].max(axis=1)
    return gone
