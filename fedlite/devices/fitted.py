"""A fitted population of devices: op-class costs shared by all of them and how far single devices stray from them.

For a configuration (device, engine, precision, threads) with covariates z and a network n with terms x (see
`features`), the latency is

    t = exp(a) * sum_k w_k exp(sum_f z_f B_fk + u_k) x_k * exp(sum_f z_f d_fn)

with one scalar `a` per configuration, op-class deviations `u` drawn once per configuration around what its covariates
predict, and `d` the shared deviation of a known network from the nine terms, everywhere (f = "") and under single
covariates. What the fit never saw has no entry and costs spread instead. The numbers are written by
`benchmarks/device_model/fit.py`, never by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.devices.features import DISPATCH, TERMS
from fedlite.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fedlite.devices.published import Net

EVERYWHERE = ""
"""The covariate that every configuration has."""


@dataclass(frozen=True)
class Band:
    """Factors that bound the central 80 % of measured/predicted on devices left out of the fit."""

    low: float
    high: float


@dataclass(frozen=True)
class SpecSheet:
    """Regression of the scalar on what a data sheet tells: log seconds per unit of work."""

    coefficients: Mapping[str, float]
    """By covariate; "constant" and "log_clock" (GHz) beside them."""
    deviation: float
    """Standard deviation of devices left out of the fit around the regression, in log units."""
    transfer: float
    """The same where another configuration of the device (precision, threads) tells how far it strays."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations (log) of what a prediction does not know."""

    weights: NDArray[np.float64]
    """Op-class costs (9,) of a configuration around what its covariates predict."""
    kinds: Mapping[str, tuple[float, float]]
    """Prefix of covariates ("core", "engine") -> slopes of a kind the fit never saw, of work and of dispatch."""
    net: tuple[float, float]
    """Known network on an engine that never ran it: of the layered, and of stand-ins."""
    new_net: tuple[float, float]
    """Network in no fit: of the layered, and of stand-ins."""
    noise: float


@dataclass(frozen=True)
class FittedPopulation:
    """One fitted population. Arrays over terms have shape (9,)."""

    name: str
    log_weights: NDArray[np.float64]
    slopes: Mapping[str, NDArray[np.float64]]
    spec_sheet: SpecSheet
    spread: Spread
    net_offset: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Covariate -> network -> log deviation."""
    bands: Mapping[str, Mapping[str, Band]] = field(default_factory=dict)
    """Family ("" pools all) and kind of network -> class of calibration -> quantiles of error over predicted spread."""

    def expected_log_weights(self, covariates: Mapping[str, float]) -> NDArray[np.float64]:
        """Return log op-class costs (9,) of an unmeasured configuration with these covariates."""
        total = self.log_weights.copy()
        for name, value in covariates.items():
            if name in self.slopes:
                total += value * self.slopes[name]
        return total

    def weight_variance(self, covariates: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the variances (9,) of the op-class costs around `expected_log_weights`."""
        total = self.spread.weights**2
        for name in covariates:
            prefix = name.partition(":")[0]
            if prefix in self.spread.kinds and name not in self.slopes:
                work, dispatch = self.spread.kinds[prefix]
                total = total + np.where(DISPATCH, dispatch**2, work**2)
        return np.asarray(total)

    def offset(self, net: Net | None, covariates: Mapping[str, float]) -> float:
        """Return the shared log deviation of a network, 0 for an unknown one."""
        if net is None:
            return 0.0
        total = 0.0
        for name, value in ((EVERYWHERE, 1.0), *covariates.items()):
            table = self.net_offset.get(name)
            if table:
                total += value * table.get(net.name, 0.0)
        return total + self.net_offset.get(FAMILY, {}).get(net.family, 0.0)

    def knows(self, net: Net | None) -> bool:
        """Tell whether the network was in the fit."""
        return net is not None and net.name in self.net_offset.get(EVERYWHERE, {})

    def net_deviation(self, net: Net | None) -> float:
        """Return the standard deviation (log) of a network around `offset`."""
        exact = net is None or net.exact
        table = self.spread.net if self.knows(net) else self.spread.new_net
        return table[0] if exact else table[1]

    def kind(self, net: Net | None) -> str:
        """Return which kind of network this is where bands are concerned: `LAYERED`, `NEW` or `STAND_IN`."""
        if net is not None and not net.exact:
            return STAND_IN
        return LAYERED if self.knows(net) else NEW

    def band(self, calibration: str, group: str = "", kind: str = "") -> Band:
        """Return the quantiles of error over spread of a calibration class.

        Of the family and the kind of network if these have their own, else of all families, else of all networks.
        """
        known = (self.bands.get(name, {}).get(calibration) for name in (group + kind, kind, group, LAYERED))
        return next(band for band in known if band is not None)


LAYERED, NEW, STAND_IN = "", "?", "*"
"""Endings of a family's name in `bands`: networks of the fit, networks known by layers that no fit saw, stand-ins."""
FAMILY = "family"
"""Pseudo-covariate whose offsets belong to families of networks, whatever their width and size."""


def to_json(population: FittedPopulation) -> dict[str, Any]:
    """Return the population as plain lists and numbers."""
    spread = population.spread
    return {
        "terms": list(TERMS),
        "log_weights": _rounded(population.log_weights),
        "slopes": {name: _rounded(row) for name, row in sorted(population.slopes.items())},
        "spec_sheet": {
            "coefficients": {k: round(v, 5) for k, v in sorted(population.spec_sheet.coefficients.items())},
            "deviation": round(population.spec_sheet.deviation, 5),
            "transfer": round(population.spec_sheet.transfer, 5),
        },
        "spread": {
            "weights": _rounded(spread.weights),
            "kinds": {name: [round(x, 5) for x in pair] for name, pair in sorted(spread.kinds.items())},
            "net": [round(x, 5) for x in spread.net],
            "new_net": [round(x, 5) for x in spread.new_net],
            "noise": round(spread.noise, 5),
        },
        "net_offset": {
            name: {net: round(value, 4) for net, value in sorted(table.items())}
            for name, table in sorted(population.net_offset.items())
        },
        "bands": {
            group: {kind: [round(band.low, 4), round(band.high, 4)] for kind, band in table.items()}
            for group, table in sorted(population.bands.items())
        },
    }


def from_json(name: str, record: Mapping[str, Any]) -> FittedPopulation:
    """Return the population written by `to_json`."""
    spread = record["spread"]
    return FittedPopulation(
        name=name,
        log_weights=np.asarray(record["log_weights"], dtype=np.float64),
        slopes={key: np.asarray(row, dtype=np.float64) for key, row in record["slopes"].items()},
        spec_sheet=SpecSheet(
            dict(record["spec_sheet"]["coefficients"]),
            float(record["spec_sheet"]["deviation"]),
            float(record["spec_sheet"]["transfer"]),
        ),
        spread=Spread(
            np.asarray(spread["weights"], dtype=np.float64),
            {key: (pair[0], pair[1]) for key, pair in spread["kinds"].items()},
            (spread["net"][0], spread["net"][1]),
            (spread["new_net"][0], spread["new_net"][1]),
            float(spread["noise"]),
        ),
        net_offset={key: dict(table) for key, table in record["net_offset"].items()},
        bands={group: {kind: Band(*pair) for kind, pair in table.items()} for group, table in record["bands"].items()},
    )


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 5) for value in values]


@cache
def coefficients(file_name: str) -> Mapping[str, Any]:
    """Return a packaged coefficients file as written by the fit."""
    text = (resources.files("fedlite.devices") / "coefficients" / file_name).read_text(encoding="utf-8")
    record: dict[str, Any] = json.loads(text)
    return record


@cache
def fitted_devices() -> frozenset[str]:
    """Return the names of the devices whose measurements the coefficients come from."""
    return frozenset(coefficients("populations.json")["devices"])


@cache
def population(name: str) -> FittedPopulation:
    """Return a packaged population by name.

    Raises
    ------
    UnknownNameError
        If the fit wrote no such population.
    """
    known = coefficients("populations.json")["populations"]
    if name not in known:
        raise UnknownNameError("population", name, list(known))
    return from_json(name, known[name])
