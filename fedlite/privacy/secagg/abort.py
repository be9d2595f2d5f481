"""How likely a round of secure aggregation is lost because too few of somebody's share holders are left.

Every client's secrets, also those of clients that dropped out, need `threshold` of their holders at the end. Clients
drop out independently with one probability. Where all hold shares of all, the chance is binomial. On a ring of n
clients, each with its `holders` nearest (itself among them), it is that of a scan statistic, of which a bound is exact
enough: events of neighbours overlap in all but two clients, so that after the first each adds at most the chance that
its own happens and the one before it did not.

References
----------
Bell et al. 2020 (what has to hold of a graph). Hunter 1976, "An upper bound for the probability of a union".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray


def most_likely(clients: int, holders: int, threshold: int, drop: float) -> float:
    """Return an upper bound on the chance that a round is lost; it is exact where all hold shares of all.

    Parameters
    ----------
    clients : int
        That shared their secrets.
    holders : int
        Of shares of each client's secrets, itself among them.
    threshold : int
    drop : float
        Chance of each client to be gone before the end, independently.
    """
    holders = min(holders, clients)
    one = float(stats.binom.cdf(threshold - 1, holders, 1 - drop))
    if holders == clients:
        return one
    # The windows share `holders - 1` clients: threshold - 1 of them are left, and who went out of sight was, too.
    shared = float(stats.binom.pmf(threshold - 1, holders - 1, 1 - drop))
    return min(1.0, one + (clients - 1) * shared * drop * (1 - drop))


def lost(left: NDArray[np.bool_], holders: int, threshold: int) -> NDArray[np.bool_]:
    """Tell of rounds, shape (rounds, clients) of who is left in the ring's order, which are lost."""
    clients = left.shape[1]
    if holders >= clients:
        return np.asarray(left.sum(axis=1) < threshold)
    wrapped = np.concatenate((left, left[:, : holders - 1]), axis=1)
    counts = np.concatenate((np.zeros((len(left), 1), np.int64), wrapped.cumsum(axis=1)), axis=1)
    return np.asarray((counts[:, holders:] - counts[:, :-holders] < threshold).any(axis=1))


def estimated(
    clients: int, holders: int, threshold: int, drop: float, rng: np.random.Generator, rounds: int = 2000
) -> float:
    """Return the share of so many drawn rounds that are lost, where each client drops out with that chance."""
    return float(lost(rng.random((rounds, clients)) >= drop, holders, threshold).mean())
