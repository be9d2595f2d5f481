"""Whole rows from real-valued shares, and a floor under the size of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rounded_shares(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Return whole numbers near `shares * total` that add up to exactly `total`, by the largest remainder.

    Parameters
    ----------
    shares : float array
        Non-negative, adding up to 1.
    """
    exact = shares * total
    whole = np.floor(exact).astype(np.int64)
    # Shares add up to 1 only within rounding: floor can leave `total` at most by one unit, then a unit is taken back.
    missing = total - int(whole.sum())
    if missing < 0:
        whole[np.argsort(-whole, kind="stable")[:-missing]] -= 1
        return whole
    if missing > 0:
        whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole


def top_up(client: NDArray[np.int64], n_clients: int, min_size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the client of each row such that every client has at least `min_size` rows.

    Rows are taken, at random, from the largest clients only: their sizes are cut down to one common level, just low
    enough to feed the poor. The caller has made sure that there are enough rows.
    """
    sizes = np.bincount(client, minlength=n_clients)
    lack = np.maximum(min_size - sizes, 0)
    needed = int(lack.sum())
    if needed == 0:
        return client
    level = _level(sizes, needed)
    shuffled = rng.permutation(len(client))
    order = shuffled[np.argsort(client[shuffled], kind="stable")]
    rank = np.arange(len(client)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # Everything above the level may go; the rows furthest above it go first, so no donor falls below the level.
    above = np.flatnonzero(rank >= level)
    donors = order[above[np.argsort(-rank[above], kind="stable")[:needed]]]
    filled = client.copy()
    filled[donors] = np.repeat(np.arange(n_clients), lack)
    return filled


def _level(sizes: NDArray[Any], needed: int) -> int:
    """Return the highest size to which the largest clients are cut so that at least `needed` rows come free."""
    low, high = 0, int(sizes.max())
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.maximum(sizes - middle, 0).sum()) >= needed:
            low = middle
        else:
            high = middle - 1
    return low
