"""From a few measured latencies to a device: the scalar, and as much of the op-class costs as they can tell.

The update is the posterior mode of a Gaussian model, found by Gauss-Newton: the log residual of an anchor is the
scalar, plus the op-class deviations weighted by the share of the anchor's time that each class takes, plus noise.
One anchor moves little but the scalar; three anchors that spend their time differently move the op classes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices.estimate import Calibration
from fedlite.devices.fitted import Band
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fedlite.devices.fitted import FittedPopulation

_SCALAR_DEVIATION = 3.0
"""Prior standard deviation of the log scalar once an anchor is at hand: wide enough to forget the spec sheet."""

_ROUNDS = 6
"""Relinearisations; the posterior of three anchors settles to 1e-3 in about four."""

THREE = 3


@dataclass(frozen=True)
class Work:
    """A network as the latency model sees it: its terms (8,) and its name if the fit knows it."""

    terms: NDArray[np.float64]
    net: str | None = None


@dataclass(frozen=True)
class Observation:
    """One measured latency of one network on the configuration that is being calibrated."""

    work: Work
    latency_s: float


@dataclass(frozen=True)
class Calibrated:
    """A configuration (device, engine, precision, threads) ready to be asked for latencies."""

    population: FittedPopulation
    covariates: NDArray[np.float64]
    group: str
    log_scale: float
    log_weights: NDArray[np.float64]
    calibration: Calibration

    @property
    def costs(self) -> NDArray[np.float64]:
        """Seconds per unit of each term (8,): MMAC, MB or layer."""
        return np.asarray(np.exp(self.log_scale + self.log_weights))

    @property
    def band(self) -> Band:
        """Error band of this configuration's calibration class, for networks that were in the fit."""
        return self.population.band(self.calibration, self.group)

    def band_of(self, net: str | None) -> Band:
        """Return the error band for a network: wider if it was not in the fit."""
        if self.population.knows(net):
            return self.band
        new = self.population.new_net_band(self.group)
        return Band(min(self.band.low, new.low), max(self.band.high, new.high))

    def latency_s(self, work: Work) -> float:
        """Return the expected latency of one forward pass, in seconds."""
        offset = self.population.offset(work.net, self.covariates, self.group)
        return float(self.costs @ work.terms * np.exp(offset))


def calibrate(
    population: FittedPopulation,
    covariates: NDArray[np.float64],
    observations: Sequence[Observation],
    *,
    group: str = "",
    prior_log_scale: float | None = None,
) -> Calibrated:
    """Return the configuration that explains the observations best.

    Parameters
    ----------
    population : FittedPopulation
        The engine family's fit.
    covariates : array (4,)
        See `population.COVARIATES`.
    observations : sequence
        Measured latencies; may be empty if `prior_log_scale` is given.
    group : str
        Sub-family with its own bands and network offsets, such as "fp16".
    prior_log_scale : float, optional
        Scalar from the spec sheet; used alone if there are no observations, forgotten otherwise.

    Raises
    ------
    FedliteError
        If there is neither an observation nor a spec sheet, or a latency is not a positive number.
    """
    prior_weights = population.expected_log_weights(covariates)
    if not observations:
        if prior_log_scale is None:
            raise FedliteError(
                "calibration: got neither a measured latency nor a spec sheet (core family and clock); give one of them"
            )
        return Calibrated(population, covariates, group, prior_log_scale, prior_weights, Calibration.SPEC_SHEET)
    level = _levels(population, covariates, group, prior_weights, observations)
    centre = float(level.mean()) if prior_log_scale is None else prior_log_scale
    prior = np.diag(np.concatenate([[_SCALAR_DEVIATION**2], population.weight_deviation**2]))
    noise = np.diag([_noise(population, observation) ** 2 for observation in observations])
    theta = np.zeros(1 + len(prior_weights))
    for _ in range(_ROUNDS):
        # theta = (scalar, op-class deviations); level = centre + theta[0] + log share-weighted sum + noise
        left, shares = _linearised(prior_weights, theta[1:], level - centre, observations)
        design = np.column_stack([np.ones(len(observations)), shares])
        gain = prior @ design.T @ np.linalg.inv(design @ prior @ design.T + noise)
        theta = gain @ (left + shares @ theta[1:])
    kind = Calibration.THREE_ANCHORS if len(observations) >= THREE else Calibration.ONE_ANCHOR
    return Calibrated(population, covariates, group, centre + float(theta[0]), prior_weights + theta[1:], kind)


def _levels(
    population: FittedPopulation,
    covariates: NDArray[np.float64],
    group: str,
    prior_weights: NDArray[np.float64],
    observations: Sequence[Observation],
) -> NDArray[np.float64]:
    """Return log measured over expected latency of every observation, for a device of scalar 1."""
    levels = []
    for observation in observations:
        if not (np.isfinite(observation.latency_s) and observation.latency_s > 0.0):
            raise FedliteError(
                f"anchor: got a latency of {observation.latency_s!r} s, expected a positive number; measure it again"
            )
        expected = float(np.exp(prior_weights) @ observation.work.terms)
        if not expected > 0.0:
            raise FedliteError("anchor: got a network without work, expected weighted layers; take another network")
        offset = population.offset(observation.work.net, covariates, group)
        levels.append(float(np.log(observation.latency_s / expected)) - offset)
    return np.asarray(levels)


def _linearised(
    prior_weights: NDArray[np.float64],
    deviations: NDArray[np.float64],
    level: NDArray[np.float64],
    observations: Sequence[Observation],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (what the deviations leave unexplained, time shares of the terms at these deviations)."""
    left, shares = [], []
    for wanted, observation in zip(level, observations, strict=True):
        before = np.exp(prior_weights) * observation.work.terms
        after = before * np.exp(deviations)
        left.append(wanted - np.log(after.sum() / before.sum()))
        shares.append(after / after.sum())
    return np.asarray(left), np.asarray(shares)


def _noise(population: FittedPopulation, observation: Observation) -> float:
    unknown = 0.0 if population.knows(observation.work.net) else population.net_deviation
    return float(np.hypot(population.noise, unknown))
