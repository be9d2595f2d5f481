"""What a server sends at every moment: the sum of the rates of all downloads that overlap, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def steps(begin_s: Floats, length_s: Floats, payload_bytes: Floats) -> tuple[Floats, Floats]:
    """Return the server's rate as a step function: it is `rate_bps[i]` from `time_s[i]` until the next.

    Parameters
    ----------
    begin_s, length_s, payload_bytes : ndarray, shape (n,)
        Downloads, each at one rate from its first moment to its last; those of no length or no bytes are none.

    Returns
    -------
    time_s, rate_bps : ndarray, shape (m,)
        Rising times; empty without downloads.
    """
    sent = (length_s > 0) & (payload_bytes > 0)
    begin_s, length_s = begin_s[sent], length_s[sent]
    rate_bps = 8.0 * payload_bytes[sent] / length_s
    time_s, place = np.unique(np.concatenate([begin_s, begin_s + length_s]), return_inverse=True)
    # Whoever begins as another ends does not overlap with it: both changes are of one moment.
    changes = np.bincount(place, np.concatenate([rate_bps, -rate_bps]), minlength=len(time_s))
    # What adding and taking away leaves of a rate is rounding.
    return time_s, np.maximum(np.cumsum(changes), 0.0)


def most_in(time_s: Floats, rate_bps: Floats, edges_s: Floats) -> Floats:
    """Return the highest rate of a step function between each two of m + 1 rising edges, (m,)."""
    if not len(time_s):
        return np.zeros(len(edges_s) - 1)
    at_edge = np.searchsorted(time_s, edges_s[:-1], side="right") - 1
    carried = np.where(at_edge >= 0, rate_bps[at_edge], 0.0)
    bin_of = np.searchsorted(edges_s, time_s, side="right") - 1
    inside = (bin_of >= 0) & (bin_of < len(carried))
    np.maximum.at(carried, bin_of[inside], rate_bps[inside])
    return carried
