"""Who is asked in a round by chance alone: the draws behind amplification by sampling.

The unit is the owner of data. Each owner's coin is its own, from a named stream, so that owners are drawn independently
and adding one changes nobody else's draw. Of an owner with several devices one is asked, each as likely as another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedlite.rng import stream, uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.privacy.samplers import Draw

Ids = NDArray[np.int64]


def poisson(draw: Draw, owners: Ids, round_: int, seed: int) -> Ids:
    """Return the owners that are drawn, each alone with probability cohort / population, in order."""
    coins = uniform(seed, "privacy/poisson", owners, round_)
    return owners[coins < draw.cohort / draw.population]


def truncated_poisson(draw: Draw, owners: Ids, round_: int, seed: int) -> Ids:
    """Return the same; of more than the cap, a uniform choice of that many."""
    drawn = poisson(draw, owners, round_, seed)
    if draw.cap is None or len(drawn) <= draw.cap:
        return drawn
    return np.sort(stream(seed, "privacy/truncate", round_).choice(drawn, size=draw.cap, replace=False))


def fixed(draw: Draw, owners: Ids, round_: int, seed: int) -> Ids:
    """Return so many owners, every set of them as likely as another, in order."""
    chosen = stream(seed, "privacy/fixed", round_).choice(owners, size=min(draw.cohort, len(owners)), replace=False)
    return np.sort(chosen)


DRAWS: dict[str, Callable[[Draw, Ids, int, int], Ids]] = {
    "poisson": poisson,
    "truncated-poisson": truncated_poisson,
    "fixed": fixed,
}
"""By the name of the sampler; "none" leaves the choice to the strategy."""


def devices_of(owners: Ids, devices: Ids, owner_of: Ids, round_: int, seed: int) -> Ids:
    """Return one device of each owner, shape (k,): of several the one with the greatest number from its own stream.

    Parameters
    ----------
    owners : ndarray of int, shape (k,)
        Distinct; each has a device.
    devices, owner_of : ndarrays of int, shape (N,)
        All devices that may ever be asked, and whose each is.
    round_, seed : int
    """
    numbers = uniform(seed, "privacy/device", devices, round_)
    order = np.lexsort((numbers, owner_of))
    last = np.flatnonzero(np.append(owner_of[order][1:] != owner_of[order][:-1], values=True))
    best = dict(zip(owner_of[order][last].tolist(), devices[order][last].tolist(), strict=True))
    return np.array([best[owner] for owner in owners.tolist()], dtype=np.int64)
