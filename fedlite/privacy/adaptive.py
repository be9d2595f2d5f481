"""A clipping norm that follows a quantile of the updates' norms, and the noise that this takes from the updates.

References
----------
Andrew, Thakkar, McMahan, Ramaswamy 2021, "Differentially private learning with adaptive clipping": section 2.1 (the
geometric update, by the share of updates that were *not* clipped), theorem 1 (one noise multiplier for the sum and the
count together).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def update_noise(noise_multiplier: float, count_std: float) -> float:
    """Return the noise multiplier of the sum with which it and the count are together worth `noise_multiplier`.

    Parameters
    ----------
    noise_multiplier : float
        z of both, below twice `count_std`.
    count_std : float
        Standard deviation of the noise on the count of unclipped updates, each counted as +1/2 or -1/2.
    """
    return (noise_multiplier**-2 - (2 * count_std) ** -2) ** -0.5 if noise_multiplier else 0.0


@dataclass(frozen=True)
class AdaptiveNorm:
    """How a clipping norm moves.

    Attributes
    ----------
    quantile : float
        Of the norms that is aimed at: the share of updates that stay unclipped.
    learning_rate : float
        Step on the logarithm of the norm.
    count_std : float
        See `update_noise`.
    """

    quantile: float
    learning_rate: float
    count_std: float

    def next(self, norm: float, unclipped: float) -> float:
        """Return the next norm, from the (noisy) share of updates that were not clipped."""
        return norm * math.exp(-self.learning_rate * (unclipped - self.quantile))

    def share(self, centred: float, noise: float, expected: float) -> float:
        """Return the noisy share of unclipped updates.

        Parameters
        ----------
        centred : float
            Sum over owners of their bit less one half: a client that is absent says nothing, and one moves the sum by
            one half.
        noise : float
            Standard normal.
        expected : float
            Owners that a round is planned for.
        """
        return (centred + self.count_std * noise) / expected + 0.5
