"""Epsilon of means that somebody else's server made, and of updates that were noisy before they left.

A wrapper of Flower's releases the mean of m clipped updates plus Gaussian noise of standard deviation z C / n, where n
is the cohort that was planned. One owner's data may lie on several devices, so that up to k of the m updates come from
it: without them the mean moves by up to k C / m. The noise relative to that is z m / (n k): the fewer replies, and the
more of them from one owner, the less privacy. Means are composed without amplification by sampling, because who takes
part depends on the state of devices. What fedlite's own server releases is in `releases`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from dp_accounting import gaussian_mechanism

if TYPE_CHECKING:
    from collections.abc import Sequence


LEAST_NOISE = 1e-6
"""Noise over sensitivity below which nothing is private: epsilon is past 10^11, and accountants do not converge."""


@dataclass(frozen=True)
class Spent:
    """Privacy spent at `delta`, with the sentence that says what it means. Epsilon is infinite without noise."""

    epsilon: float
    delta: float
    statement: str


@dataclass(frozen=True)
class Mean:
    """What a released mean is made of: `count` updates, and `most_shares` from the owner who sent most of them.

    `weight` is the greatest part of the mean that is one owner's, in (0, 1], where updates do not weigh the same.
    """

    count: int
    most_shares: int = 1
    weight: float | None = None

    @property
    def part(self) -> float:
        """The greatest part of the mean that is one owner's."""
        return self.most_shares / self.count if self.weight is None else self.weight


def spent(noise_multiplier: float, planned: int, replies: Sequence[Mean], delta: float) -> Spent:
    """Return what fixed clipping has spent over the rounds that were aggregated.

    Parameters
    ----------
    noise_multiplier : float
        z: standard deviation of the noise on the sum over the planned cohort, relative to the clipping norm.
    planned : int
        n: the cohort that the noise was scaled for.
    replies : sequence of Mean
        m and k of each round; rounds without replies released nothing.
    delta : float

    Notes
    -----
    Gaussian mechanisms compose exactly: noise multipliers z_i together act as (sum z_i^-2)^(-1/2) (Dong, Roth, Su 2022,
    "Gaussian differential privacy", corollary 3.3), whose epsilon dp-accounting gives exactly (Balle and Wang 2018).
    """
    released = [reply for reply in replies if reply.count]
    effective = [noise_multiplier / (planned * reply.part) for reply in released]
    if not released:
        return Spent(0.0, delta, "Nothing was released.")
    if min(effective) < LEAST_NOISE:
        return Spent(float("inf"), delta, "No noise was added: there is no differential privacy.")
    combined = float(np.sum(np.asarray(effective) ** -2.0)) ** -0.5
    epsilon = float(gaussian_mechanism.get_epsilon_gaussian(combined, delta))
    counts, most = [reply.count for reply in released], max(reply.most_shares for reply in released)
    devices = "one device" if most == 1 else f"up to {most} devices"
    weights = [reply.weight for reply in released if reply.weight is not None]
    weighed = f" Updates were weighted, and up to {max(weights):.1%} of a mean was one owner's." if weights else ""
    return Spent(
        epsilon,
        delta,
        f"({epsilon:.3g}, {delta:g})-differential privacy of one owner's whole data, on {devices} a round, against"
        f" whoever sees the released models, if that owner took part in all {len(released)} released rounds. Replacing"
        " all its updates by nothing (zero-out) is the neighbouring relation; no amplification by sampling is claimed,"
        f" since who takes part depends on the devices. Noise was planned for {planned} clients a round;"
        f" {min(counts)} to {max(counts)} replied and the epsilon is for those.{weighed} Metrics are not covered.",
    )


def local_noise_std(epsilon: float, delta: float, clipping_norm: float) -> float:
    """Return the standard deviation with which one release of a clipped update is (epsilon, delta)-private by itself.

    Two clipped updates differ by at most twice the norm. The analytic Gaussian mechanism (Balle and Wang 2018) is exact
    at any epsilon, where the textbook formula under-noises from about 8 on.
    """
    return 2.0 * clipping_norm * float(gaussian_mechanism.get_sigma_gaussian(epsilon, delta))


def spent_locally(epsilon: float, delta: float, releases: int) -> Spent:
    """Return what the owner who sent most often has spent, each release being (epsilon, delta)-private by itself.

    `releases` counts those of all devices that hold that owner's data.
    """
    if releases == 0:
        return Spent(0.0, delta, "Nothing was released.")
    sigma = float(gaussian_mechanism.get_sigma_gaussian(epsilon, delta))
    total = float(gaussian_mechanism.get_epsilon_gaussian(sigma / float(np.sqrt(releases)), delta))
    times = "once" if releases == 1 else f"{releases} times"
    return Spent(
        total,
        delta,
        f"({total:.3g}, {delta:g})-local differential privacy of the owner whose devices sent most often, {times};"
        f" each single update is ({epsilon:g}, {delta:g})-private even against the server. Metrics are not covered.",
    )
