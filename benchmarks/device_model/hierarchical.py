"""Empirical Bayes fit of one population: log latencies = op-class model + scalar + op-class deviations + net offsets.

The nine op-class costs are found first (robust least squares on log latencies, one free scalar per configuration, weak
log-normal priors). The residuals then follow a Gaussian process whose kernel is the hierarchical model written out:

    free scalar per configuration
  + time shares x (op-class deviations of a device, of a configuration, slopes on covariates: numbers such as threads,
    and kinds of cores and engines, whose dispatch has a variance of its own) x time shares
  + offset per net, per family of nets, per net under single covariates + noise

Time shares are taken at each configuration's own costs, found by relinearising once: engines differ tenfold in what a
dispatch costs. Variances are set by the marginal likelihood with log-normal priors; Student-t weights (nu = 4) keep
single odd measurements from steering variances and means. What fedlite ships are posterior means and the variances.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import least_squares, minimize

from fedlite.devices.features import DISPATCH, TERMS
from fedlite.devices.fitted import EVERYWHERE, FAMILY, FittedPopulation, SpecSheet, Spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.devices.measured_condition import MeasuredCondition

K = len(TERMS)
SCALAR_VARIANCE = 4.0
NU = 4.0
CPU_PRIOR = np.array([0.3, 1.0, 1.8, 1.3, 1.1, 1.0, 2.5, 0.8, 2.0])
"""Op-class costs that the fit is drawn to (geometric standard deviation 2), 1x1 = 1: the plain least-squares fit."""
MCU_PRIOR = np.array([1.0, 1.0, 1.0, 1.5, 1.2, 0.3, 0.003, 0.1, 0.001])
"""Microcontrollers: cost follows multiply-accumulates; no winograd, little dispatch."""
ACCELERATOR_PRIOR = np.array([0.6, 1.0, 1.0, 2.0, 2.0, 2.0, 5.0, 2.0, 200.0])
"""Accelerators: every call has a floor."""
PRIOR_SD = 0.7
HYPER_SD = 0.5
KINDS = ("core", "math", "engine", "mode", "kind")
BY_TERM = ("engine",)
"""Kinds whose terms have variances of their own: engines differ in whether they know winograd, less in 1x1."""
NOT_SLOPES = ("log2_lanes",)
"""Covariates that only the spec sheet knows."""


@dataclass(frozen=True)
class Config:
    """One (device, engine, precision, threads); `device` is what leave-one-device-out leaves out."""

    key: tuple
    device: str
    vendor: str
    condition: MeasuredCondition = field(compare=False)

    @property
    def group(self) -> str:
        return self.condition.group

    @property
    def covariates(self) -> Mapping[str, float]:
        return self.condition.covariates

    @property
    def clock_hz(self) -> float | None:
        """None where the row tells too little for a spec sheet."""
        return self.condition.clock_hz if self.condition.described else None


@dataclass(frozen=True)
class Sample:
    config: Config
    net: object
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
    """The Gaussian process of the residuals, linearised at one deviation (9,) per sample."""

    def __init__(self, samples, log_weights, deviations=None):
        self.samples = samples
        self.deviations = np.zeros((len(samples), K)) if deviations is None else deviations
        terms = np.array([s.terms for s in samples])
        parts = terms * np.exp(log_weights + self.deviations)
        self.shares = parts / parts.sum(1, keepdims=True)
        predicted = np.log(parts.sum(1)) - np.einsum("ik,ik->i", self.shares, self.deviations)
        self.y = np.log([s.latency_s for s in samples]) - predicted
        self.names = sorted({n for s in samples for n in s.config.covariates if n not in NOT_SLOPES})
        self.z = np.array([[s.config.covariates.get(n, 0.0) for n in self.names] for s in samples])
        self.weights = np.ones(len(samples))
        self._components()

    def _equal(self, key):
        _, index = np.unique([repr(key(s)) for s in self.samples], return_inverse=True)
        return (index[:, None] == index[None]).astype(np.float32)

    def _components(self):
        """Fill `names_of` and `parts`: what each variance multiplies; `start` holds prior medians of the logs."""
        shares = self.shares.astype(np.float32)
        work, dispatch = shares * ~DISPATCH, shares * DISPATCH
        both = {"work": work @ work.T, "dispatch": dispatch @ dispatch.T}
        self.same_config = self._equal(lambda s: s.config.key)
        self.same_device = self._equal(lambda s: s.config.device)
        same_net = self._equal(lambda s: s.net.name)
        exact = np.array([s.net.exact for s in self.samples], dtype=np.float32)
        layered, other = np.outer(exact, exact), np.outer(1 - exact, 1 - exact)
        table = {("device", k): (np.outer(shares[:, k], shares[:, k]) * self.same_device, 0.25) for k in range(K)}
        for part, product in both.items():
            table["config", part] = (product * self.same_config, 0.15)
        for i, name in enumerate(self.names):
            if ":" not in name:
                column = self.z[:, i].astype(np.float32)
                table["slope", name] = ((both["work"] + both["dispatch"]) * np.outer(column, column), 0.15)
        table |= self._kinds(shares, both, same_net)
        # Not "dot": what is common to the nets that ran there would pass for a fault of every net that did not.
        for name in ("log2_threads", "half", "int8", "float"):
            if name in self.names:
                column = self.z[:, self.names.index(name)].astype(np.float32)
                table["net", name] = (same_net * np.outer(column, column), 0.05)
        table["net", "layered"] = (same_net * layered, 0.12)
        if other.any():
            table["net", "other"] = (same_net * other, 0.6)
        table["net", FAMILY] = (self._equal(lambda s: s.net.family) * layered, 0.08)
        self.keys = list(table)
        self.names_of = [" ".join(map(str, key)) for key in self.keys] + ["noise"]
        self.parts = np.stack([table[key][0].ravel() for key in self.keys]).astype(np.float32)
        self.start = np.log([table[key][1] for key in self.keys] + [0.08])

    def _kinds(self, shares, both, same_net):
        """Return {key: (matrix, prior median of its deviation)} of the kinds of cores and engines."""
        table = {}
        for prefix in KINDS:
            columns = [i for i, name in enumerate(self.names) if name.startswith(prefix + ":")]
            if len(columns) < 2:
                continue
            zz = (self.z[:, columns] @ self.z[:, columns].T).astype(np.float32)
            table["dispatch", prefix] = (both["dispatch"] * zz, 0.6)
            table["net", prefix] = (same_net * zz, 0.06)
            if prefix not in BY_TERM:
                table["work", prefix] = (both["work"] * zz, 0.2)
                continue
            for k in np.flatnonzero(~DISPATCH):
                table[f"term {k}", prefix] = (np.outer(shares[:, k], shares[:, k]) * zz, 0.3)
        return table

    def kernel(self, hyper):
        k = (np.exp(2 * hyper[:-1]).astype(np.float32) @ self.parts).reshape(self.same_config.shape)
        return SCALAR_VARIANCE * self.same_config.astype(float) + k, float(np.exp(2 * hyper[-1]))

    def optimise(self, first=None, rounds=40):
        start = self.start

        def loss(hyper):
            k, noise = self.kernel(hyper)
            k[np.diag_indices(len(k))] += noise / self.weights
            factor = dpotrf(k, lower=1, overwrite_a=1)[0]
            value = np.log(np.diag(factor)).sum()
            inverse = np.tril(dpotri(factor, lower=1, overwrite_c=1)[0])
            inverse += np.tril(inverse, -1).T
            alpha = inverse @ self.y
            sensitivity = inverse - np.outer(alpha, alpha)
            slope = np.exp(2 * hyper[:-1]) * (self.parts @ sensitivity.ravel().astype(np.float32))
            noises = noise * np.sum(np.diag(sensitivity) / self.weights)
            prior = (hyper - start) / HYPER_SD
            gradient = np.append(slope.astype(float), noises) + prior / HYPER_SD
            return value + 0.5 * self.y @ alpha + 0.5 * (prior**2).sum(), gradient

        first = start if first is None else first
        return minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": rounds}).x

    def posterior(self, hyper, keep=None):
        """Return alpha = K^-1 y with Student-t row weights; every posterior mean is a linear map of it."""
        k, noise = self.kernel(hyper) if not isinstance(hyper, tuple) else hyper
        index = np.arange(len(self.y)) if keep is None else np.flatnonzero(keep)
        k, y = k[np.ix_(index, index)], self.y[index]
        weights = np.ones(len(index))
        for _ in range(4):
            part = cho_solve(cho_factor(k + np.diag(noise / weights), lower=True), y)
            residual = part * np.sqrt(noise) / weights
            weights = np.minimum(1.0, (NU + 1) / (NU + residual**2))
        alpha = np.zeros(len(self.y))
        alpha[index] = part
        if keep is None:
            self.weights = weights
        return alpha

    def variances(self, hyper):
        return dict(zip(self.keys, np.exp(2 * hyper[:-1]), strict=True))

    def slopes(self, hyper, alpha):
        """Return {covariate: (9,)} posterior means of the slopes of covariates that `alpha` saw."""
        v = self.variances(hyper)
        out = {}
        for i, name in enumerate(self.names):
            seen = self.z[:, i] * alpha
            if not seen.any():
                continue
            prefix = name.partition(":")[0]
            if ("slope", name) in v:
                variance = np.full(K, v["slope", name])
            elif ("dispatch", prefix) in v:
                variance = kind_variances(v, prefix)
            else:
                continue
            out[name] = variance * (seen @ self.shares)
        return out

    def own_deviations(self, hyper, alpha):
        """Return (N, 9): the posterior mean deviation of every sample's configuration from the common costs."""
        v = self.variances(hyper)
        device = np.array([v["device", k] for k in range(K)])
        config = np.where(DISPATCH, v["config", "dispatch"], v["config", "work"])
        pulled = alpha[:, None] * self.shares
        total = device * (self.same_device @ pulled) + config * (self.same_config @ pulled)
        for name, slope in self.slopes(hyper, alpha).items():
            total += np.outer(self.z[:, self.names.index(name)], slope)
        return total

    def offsets(self, hyper, alpha):
        """Return {covariate: {net: log deviation}}."""
        v = self.variances(hyper)
        table = defaultdict(lambda: defaultdict(float))
        for s, a, z in zip(self.samples, alpha, self.z, strict=True):
            if a == 0.0:
                continue
            own = v["net", "layered"] if s.net.exact else v.get(("net", "other"), 0.0)
            table[EVERYWHERE][s.net.name] += own * a
            if s.net.exact:
                table[FAMILY][s.net.family] += v["net", FAMILY] * a
            for name, value in zip(self.names, z, strict=True):
                key = ("net", name.partition(":")[0])
                if value and key in v:
                    table[name][s.net.name] += v[key] * value * a
        return {name: dict(nets) for name, nets in table.items()}


def kind_variances(v, prefix):
    """Return the variances (9,) of what the kinds of a prefix do to the terms."""
    if prefix in BY_TERM:
        return np.array([v["dispatch", prefix] if DISPATCH[k] else v[f"term {k}", prefix] for k in range(K)])
    return np.where(DISPATCH, v["dispatch", prefix], v["work", prefix])


def to_population(name, process, log_weights, hyper, alpha):
    v = process.variances(hyper)
    device = np.array([v["device", k] for k in range(K)])
    config = np.where(DISPATCH, v["config", "dispatch"], v["config", "work"])
    between = sum(v.get(("net", prefix), 0.0) for prefix in KINDS) + 0.02**2
    layered, family = v["net", "layered"], v["net", FAMILY]
    other = v.get(("net", "other"), layered)
    known = {p: kind_variances(v, p) for p in KINDS if ("dispatch", p) in v}
    kinds = {p: (np.sqrt(var[~DISPATCH].mean()), np.sqrt(v["dispatch", p])) for p, var in known.items()}
    noise = float(np.exp(hyper[-1]))
    spread = Spread(
        np.sqrt(device + config), {p: (float(a), float(b)) for p, (a, b) in kinds.items()},
        (float(np.sqrt(between)), float(np.sqrt(between + other / 4))),
        (float(np.sqrt(between + layered + family)), float(np.sqrt(between + other + layered))), noise,
    )  # fmt: skip
    slopes = process.slopes(hyper, alpha)
    return FittedPopulation(name, log_weights, slopes, SpecSheet({}, 0.6, 0.4), spread, process.offsets(hyper, alpha))


RELINEARISED = 2
"""A logarithm of a sum is far from linear where engines differ tenfold: the shares are taken anew so many times."""


def fit(name, samples, prior, hyper=None, *, rounds=12):
    """Return (population without spec sheet and bands, hyperparameters, process)."""
    log_weights = base_weights(samples, prior)
    process = Process(samples, log_weights)
    first = process.start if hyper is None else hyper
    process = settled(process, first, log_weights)
    hyper = process.optimise(first, rounds)
    process = settled(process, hyper, log_weights)
    alpha = process.posterior(hyper)
    return to_population(name, process, log_weights, hyper, alpha), hyper, process


def settled(process, hyper, log_weights):
    """Return the process linearised where its own posterior lies, with Student-t weights of its rows."""
    for _ in range(RELINEARISED):
        alpha = process.posterior(hyper)
        own = 0.3 * process.deviations + 0.7 * process.own_deviations(hyper, alpha)
        process = Process(process.samples, log_weights, own)
    process.posterior(hyper)
    return process
