"""Empirical Bayes fit of one population: log latencies = op-class model + scalar + op-class deviations + net offsets.

The eight op-class costs are found first (robust least squares on log latencies, one free scalar per configuration, weak
log-normal priors). The residuals then follow a Gaussian process whose kernel is the hierarchical model written out:

    free scalar per configuration
  + time shares x (op-class deviations of a device + of a configuration + slopes on covariates) x time shares
  + offset per net (+ per net and log2 threads, + per net and engine group) + noise

Variances are set by the marginal likelihood with log-normal priors; Student-t weights (nu = 4) then keep single odd
measurements from steering the means. What fedlite ships are the posterior means and the variances.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares, minimize

from fedlite.devices.features import TERMS
from fedlite.devices.fitted import FittedPopulation, SpecSheet

K = len(TERMS)
SCALAR_VARIANCE = 4.0
NU = 4.0
CPU_PRIOR = np.array([0.3, 1.0, 1.8, 1.3, 1.1, 1.0, 2.5, 0.8])
"""Op-class costs that the fit is drawn to (geometric standard deviation 2), 1x1 = 1: the plain least-squares fit."""
MCU_PRIOR = np.array([1.0, 1.0, 1.0, 1.5, 1.2, 0.3, 0.01, 0.1])
"""Microcontrollers: cost follows multiply-accumulates; no winograd, no dispatch to speak of."""
PRIOR_SD = 0.7
HYPER_SD = 0.4


@dataclass(frozen=True)
class Config:
    """One (device, engine, precision, threads); `device` is what leave-one-device-out leaves out."""

    key: tuple
    device: str
    group: str
    covariates: tuple[float, ...]
    clock_hz: float | None


@dataclass(frozen=True)
class Sample:
    config: Config
    net: str
    terms: np.ndarray
    latency_s: float


def base_weights(samples, prior):
    terms = np.array([s.terms for s in samples])
    y = np.log([s.latency_s for s in samples])
    _, index = np.unique([repr(s.config.key) for s in samples], return_inverse=True)
    member = np.eye(index.max() + 1)[index]

    def residuals(log_w):
        r = y - np.log(terms @ np.exp(log_w))
        r = (r - member @ ((member.T @ r) / member.sum(0))) / 0.15
        soft = np.sign(r) * np.sqrt(2 * (np.sqrt(1 + r**2) - 1))
        return np.concatenate([soft, (log_w - np.log(prior)) / PRIOR_SD])

    log_w = least_squares(residuals, np.log(prior)).x
    # The level is the population's own, so that the scalars of single configurations centre on zero.
    return log_w + float(np.mean(y - np.log(terms @ np.exp(log_w))))


class Process:
    """The Gaussian process of the residuals."""

    def __init__(self, samples, log_weights):
        self.samples = samples
        terms = np.array([s.terms for s in samples])
        parts = terms * np.exp(log_weights)
        self.y = np.log([s.latency_s for s in samples]) - np.log(parts.sum(1))
        self.shares = parts / parts.sum(1, keepdims=True)
        self.z = np.array([s.config.covariates for s in samples])
        self.same_config = self._equal(lambda s: s.config.key)
        self.same_device = self._equal(lambda s: (s.config.device, s.config.group))
        self.same_net = self._equal(lambda s: s.net)
        self.same_group = self._equal(lambda s: s.config.group)
        self.share_pairs = np.einsum("ik,jk->kij", self.shares, self.shares)
        self.share_dot = self.shares @ self.shares.T

    def _equal(self, key):
        values = [repr(key(s)) for s in self.samples]
        _, index = np.unique(values, return_inverse=True)
        return (index[:, None] == index[None]).astype(float)

    def start(self):
        """Prior medians: K device deviations, configuration ratio, slopes, net, net x threads, net x group, noise."""
        slopes = 0.15 * np.ones(self.z.shape[1])
        return np.log(np.concatenate([0.3 * np.ones(K), [0.3], slopes, [0.12, 0.04, 0.08, 0.08]]))

    def kernel(self, hyper):
        v = np.exp(2 * hyper)
        pairs = np.tensordot(v[:K], self.share_pairs, 1)
        k = SCALAR_VARIANCE * self.same_config + pairs * (self.same_device + v[K] * self.same_config)
        for i in range(self.z.shape[1]):
            k = k + v[K + 1 + i] * self.share_dot * np.outer(self.z[:, i], self.z[:, i])
        net, net_threads, net_group, noise = v[-4:]
        threads = np.outer(self.z[:, 0], self.z[:, 0])
        return k + self.same_net * (net + net_threads * threads + net_group * self.same_group), noise

    def optimise(self):
        start = self.start()

        def loss(hyper):
            k, noise = self.kernel(hyper)
            factor = np.linalg.cholesky(k + noise * np.eye(len(self.y)))
            white = np.linalg.solve(factor, self.y)
            return 0.5 * white @ white + np.log(np.diag(factor)).sum() + (((hyper - start) / HYPER_SD) ** 2).sum() / 2

        return minimize(loss, start, method="L-BFGS-B", options={"maxiter": 40, "maxfun": 2000}).x

    def posterior(self, hyper):
        """Return alpha = K^-1 y with Student-t row weights; every posterior mean is a linear map of it."""
        k, noise = self.kernel(hyper)
        weights = np.ones(len(self.y))
        for _ in range(5):
            alpha = np.linalg.solve(k + np.diag(noise / weights), self.y)
            residual = alpha * np.sqrt(noise) / weights
            weights = np.minimum(1.0, (NU + 1) / (NU + residual**2))
        return np.linalg.solve(k + np.diag(noise / weights), self.y)


def fit(name, samples, prior=CPU_PRIOR, hyper=None, *, optimise=True):
    """Return (population without bands, hyperparameters); the prior medians serve if neither given nor optimised."""
    log_weights = base_weights(samples, prior)
    process = Process(samples, log_weights)
    if hyper is None:
        hyper = process.optimise() if optimise else process.start()
    alpha = process.posterior(hyper)
    v = np.exp(2 * hyper)
    slopes = np.array([v[K + 1 + i] * (process.z[:, i] * alpha) @ process.shares for i in range(process.z.shape[1])])
    offsets, slopes_net = defaultdict(float), defaultdict(float)
    groups = defaultdict(lambda: defaultdict(float))
    for s, a, z in zip(samples, alpha, process.z, strict=True):
        offsets[s.net] += v[-4] * a
        slopes_net[s.net] += v[-3] * a * z[0]
        groups[s.config.group][s.net] += v[-2] * a
    spread = np.sqrt(v[:K] * (1 + v[K]))
    net_sd, noise = float(np.sqrt(v[-4] + v[-2])), float(np.sqrt(v[-1]))
    blank = SpecSheet(np.zeros(2 + process.z.shape[1]), 1.0)
    group_table = {g: dict(t) for g, t in groups.items()}
    pop = FittedPopulation(
        name, log_weights, slopes, spread, net_sd, noise, blank, dict(offsets), dict(slopes_net), group_table
    )
    return pop, hyper
