"""From a few measured latencies to a device: the scalar, and as much of the op-class costs as they can tell.

The update is the posterior mode of a Gaussian model with Student-t noise, found by Gauss-Newton: the log residual of an
anchor is the scalar, plus the op-class deviations weighted by the share of the anchor's time that each class takes,
plus what its network may stray, plus noise. One anchor moves little but the scalar; three anchors that spend their
time differently move the op classes too; one odd anchor among several is weighed down. What the anchors leave open is
carried as a covariance, and a prediction's band is its spread times what devices left out of the fit needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices.estimate import Calibration
from fedlite.devices.features import DISPATCH
from fedlite.devices.fitted import Band
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fedlite.devices.fitted import FittedPopulation
    from fedlite.devices.published import Net

_UNTOLD_SCALAR = 3.0
"""Prior standard deviation of the log scalar where no data sheet tells it."""
_ROUNDS = 8
"""Relinearisations; the posterior of three anchors settles to 1e-3 in about five."""
_NU = 4.0
"""Degrees of freedom of the anchors' noise."""
_CLASSES = (Calibration.SPEC_SHEET, Calibration.ONE_ANCHOR, Calibration.TWO_ANCHORS, Calibration.THREE_ANCHORS)


def class_of(anchors: int) -> Calibration:
    """Return the calibration class of a number of anchors."""
    return _CLASSES[min(anchors, len(_CLASSES) - 1)]


@dataclass(frozen=True)
class Work:
    """A network as the latency model sees it: its terms (9,) and, if it has a name in the literature, which it is."""

    terms: NDArray[np.float64]
    net: Net | None = None


@dataclass(frozen=True)
class Observation:
    """One measured latency of one network on the configuration that is being calibrated."""

    work: Work
    latency_s: float


@dataclass(frozen=True)
class Calibrated:
    """A configuration (device, engine, precision, threads) ready to be asked for latencies."""

    population: FittedPopulation
    covariates: Mapping[str, float]
    group: str
    log_scale: float
    log_weights: NDArray[np.float64]
    covariance: NDArray[np.float64]
    """Of (log scalar, log op-class costs), (10, 10)."""
    calibration: Calibration

    @property
    def engine(self) -> str:
        """Name of the covariate that tells the engine, or empty."""
        return next((name for name in self.covariates if name.startswith("engine:")), "")

    @property
    def half_math(self) -> bool:
        """Whether float networks are computed in half precision."""
        return "half" in self.covariates

    @property
    def costs(self) -> NDArray[np.float64]:
        """Seconds per unit of each term (9,): MMAC, MB, layer or call."""
        return np.asarray(np.exp(self.log_scale + self.log_weights))

    def latency_s(self, work: Work) -> float:
        """Return the expected latency of one forward pass, in seconds."""
        return float(self.costs @ work.terms * np.exp(self.population.offset(work.net, self.covariates)))

    def spread(self, work: Work) -> float:
        """Return the standard deviation (log) of a prediction, before what left-out devices teach about it."""
        return float(np.hypot(self.terms_spread(work.terms), self.population.net_deviation(work.net)))

    def terms_spread(self, terms: NDArray[np.float64]) -> float:
        """Return the part of `spread` that the device's own costs have, for work made of these terms (9,)."""
        parts = self.costs * terms
        whole = float(parts.sum())
        direction = np.concatenate([[1.0], parts / whole if whole > 0.0 else parts])
        variance = float(direction @ self.covariance @ direction)
        return float(np.sqrt(max(variance, 0.0) + self.population.spread.noise**2))

    def band(self, work: Work) -> Band:
        """Return the 80 % band of a prediction, as factors."""
        spread = self.spread(work)
        quantiles = self.population.band(self.calibration.value, self.group, self.population.kind(work.net))
        return Band(float(np.exp(quantiles.low * spread)), float(np.exp(quantiles.high * spread)))


def calibrate(
    population: FittedPopulation,
    covariates: Mapping[str, float],
    observations: Sequence[Observation],
    *,
    group: str = "",
    prior_log_scale: float | None = None,
) -> Calibrated:
    """Return the configuration that explains the observations best.

    Parameters
    ----------
    population : FittedPopulation
        The fit of CPUs in float, CPUs in int8, microcontrollers or accelerators.
    covariates : mapping
        See `covariates`.
    observations : sequence
        Measured latencies; may be empty if `prior_log_scale` is given.
    group : str
        Family with its own bands, such as "ncnn-fp16".
    prior_log_scale : float, optional
        Scalar from the spec sheet, believed as far as spec sheets are.

    Raises
    ------
    FedliteError
        If there is neither an observation nor a spec sheet, or a latency is not a positive number.
    """
    prior_weights = population.expected_log_weights(covariates)
    if not observations and prior_log_scale is None:
        raise FedliteError(
            "calibration: got neither a measured latency nor a spec sheet (core family and clock); give one of them"
        )
    deviation = _UNTOLD_SCALAR if prior_log_scale is None else population.spec_sheet.deviation
    prior = np.diag(np.concatenate([[deviation**2], population.weight_variance(covariates)]))
    kind = class_of(len(observations))
    if not observations:
        scale = float(prior_log_scale or 0.0)
        return Calibrated(population, covariates, group, scale, prior_weights, prior, kind)
    level = _levels(population, covariates, prior_weights, observations)
    centre = float(np.median(level)) if prior_log_scale is None else prior_log_scale
    noise = np.array([_noise(population, observation) ** 2 for observation in observations])
    trust = np.ones(len(observations))
    theta = np.zeros(1 + len(prior_weights))
    for _ in range(_ROUNDS):
        # theta = (scalar, op-class deviations); level = centre + theta[0] + log share-weighted sum + noise
        left, shares = _linearised(prior_weights, theta[1:], level - centre, observations)
        design = np.column_stack([np.ones(len(observations)), shares])
        gain = prior @ design.T @ np.linalg.inv(design @ prior @ design.T + np.diag(noise / trust))
        theta = gain @ (left + shares @ theta[1:])
        if len(observations) > 1:  # a single anchor has nothing to disagree with
            odd = (left - theta[0]) ** 2 / noise
            trust = np.minimum(1.0, (_NU + 1.0) / (_NU + odd))
    covariance = prior - gain @ design @ prior
    return Calibrated(
        population, covariates, group, centre + float(theta[0]), prior_weights + theta[1:], covariance, kind
    )


def dispatching_like(device: Calibrated, path: Calibrated, seen: Sequence[Observation]) -> Calibrated:
    """Return an integer configuration whose dispatch costs no more than that of the device's float path.

    What an engine does between kernels is the same whatever these compute in. Large networks, which most anchors are,
    hardly tell it apart from the kernels; the float path's small networks do.
    The anchors `seen` are still met.
    """
    if device.engine != path.engine:
        return device
    bound = path.log_scale + path.log_weights - device.log_scale
    weights = np.where(DISPATCH, np.minimum(device.log_weights, bound), device.log_weights)
    bounded = replace(device, log_weights=weights)
    if not seen:
        return bounded
    # What dispatch gives up the kernels take over.
    lifted = [
        (device.costs @ terms - bounded.costs[DISPATCH] @ terms[DISPATCH])
        / (bounded.costs[~DISPATCH] @ terms[~DISPATCH])
        for terms in (one.work.terms for one in seen)
    ]
    return replace(bounded, log_weights=weights + np.where(DISPATCH, 0.0, float(np.mean(np.log(lifted)))))


def _levels(
    population: FittedPopulation,
    covariates: Mapping[str, float],
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
        offset = population.offset(observation.work.net, covariates)
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
    return float(np.hypot(population.spread.noise, population.net_deviation(observation.work.net)))
