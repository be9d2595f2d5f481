"""A fitted population of devices: op-class costs shared by all of them and how far single devices stray from them.

For a configuration (device, engine, precision, threads) with covariates z and a network n with terms x (see
`features`), the latency is

    t = exp(a) * sum_k w_k exp(B_k z + u_k) x_k * exp(d_n)

with one scalar `a` per configuration, op-class deviations `u` drawn once per configuration around what its covariates
predict, and `d_n` the shared deviation of a known network from the eight terms (0 for networks never measured). The
numbers are written by `benchmarks/device_model/fit.py`, never by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.devices.features import TERMS
from fedlite.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fedlite.devices.estimate import Calibration

COVARIATES = ("log2_threads", "in_order", "half_math", "half_math_log2_threads")
"""What is known of a mobile configuration before it is measured; see `cores.covariates`."""

MCU_COVARIATES = ("dual_issue", "no_dsp", "float_math")
"""The same for microcontrollers; see `cores.mcu_covariates`."""


@dataclass(frozen=True)
class Band:
    """Factors that bound the central 80 % of measured/predicted on devices left out of the fit."""

    low: float
    high: float


@dataclass(frozen=True)
class SpecSheet:
    """Regression of the scalar on what a data sheet tells: log seconds per unit of work."""

    coefficients: NDArray[np.float64]
    """Of (1, log clock in GHz, *covariates)."""
    deviation: float
    """Standard deviation of the fitted devices around the regression, in log units."""
    group_offset: Mapping[str, float] = field(default_factory=dict)
    """Log level of single groups (engine and precision) against the regression."""


@dataclass(frozen=True)
class FittedPopulation:
    """One fitted population. Arrays over terms have shape (8,), slopes (covariates, 8)."""

    name: str
    log_weights: NDArray[np.float64]
    slopes: NDArray[np.float64]
    weight_deviation: NDArray[np.float64]
    net_deviation: float
    noise: float
    spec_sheet: SpecSheet
    net_offset: Mapping[str, float] = field(default_factory=dict)
    net_slope: Mapping[str, float] = field(default_factory=dict)
    group_offset: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bands: Mapping[str, Mapping[str, Band]] = field(default_factory=dict)

    def expected_log_weights(self, covariates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log op-class costs (8,) of an unmeasured configuration with these covariates (c,)."""
        return self.log_weights + covariates @ self.slopes

    def offset(self, net: str | None, covariates: NDArray[np.float64], group: str = "") -> float:
        """Return the shared log deviation of a known network, 0 for an unknown one (`net=None`)."""
        if net is None:
            return 0.0
        special = self.group_offset.get(group, {}).get(net, 0.0)
        return self.net_offset.get(net, 0.0) + self.net_slope.get(net, 0.0) * float(covariates[0]) + special

    def knows(self, net: str | None) -> bool:
        """Tell whether the network was in the fit."""
        return net in self.net_offset

    def band(self, calibration: Calibration, group: str = "") -> Band:
        """Return the error band of a calibration class, of the group if it has its own."""
        table = self.bands.get(group) or self.bands[""]
        return table[calibration.value]

    def new_net_band(self, group: str = "") -> Band:
        """Return the error band of networks that were left out of the fit, on one-anchor devices."""
        table = self.bands.get(group) or self.bands[""]
        return table[NEW_NET]


NEW_NET = "new-net"


def to_json(population: FittedPopulation) -> dict[str, Any]:
    """Return the population as plain lists and numbers."""
    return {
        "terms": list(TERMS),
        "covariates": list(MCU_COVARIATES if population.name == "mcu" else COVARIATES),
        "log_weights": _rounded(population.log_weights),
        "slopes": [_rounded(row) for row in population.slopes],
        "weight_deviation": _rounded(population.weight_deviation),
        "net_deviation": round(population.net_deviation, 5),
        "noise": round(population.noise, 5),
        "spec_sheet": {
            "coefficients": _rounded(population.spec_sheet.coefficients),
            "deviation": round(population.spec_sheet.deviation, 5),
            "group_offset": {key: round(v, 5) for key, v in sorted(population.spec_sheet.group_offset.items())},
        },
        "net_offset": {key: round(value, 5) for key, value in sorted(population.net_offset.items())},
        "net_slope": {key: round(value, 5) for key, value in sorted(population.net_slope.items())},
        "group_offset": {
            group: {key: round(value, 5) for key, value in sorted(table.items())}
            for group, table in sorted(population.group_offset.items())
        },
        "bands": {
            group: {kind: [round(band.low, 4), round(band.high, 4)] for kind, band in table.items()}
            for group, table in sorted(population.bands.items())
        },
    }


def from_json(name: str, record: Mapping[str, Any]) -> FittedPopulation:
    """Return the population written by `to_json`."""
    return FittedPopulation(
        name=name,
        log_weights=np.asarray(record["log_weights"], dtype=np.float64),
        slopes=np.asarray(record["slopes"], dtype=np.float64).reshape(-1, len(TERMS)),
        weight_deviation=np.asarray(record["weight_deviation"], dtype=np.float64),
        net_deviation=float(record["net_deviation"]),
        noise=float(record["noise"]),
        spec_sheet=SpecSheet(
            np.asarray(record["spec_sheet"]["coefficients"], dtype=np.float64),
            float(record["spec_sheet"]["deviation"]),
            dict(record["spec_sheet"]["group_offset"]),
        ),
        net_offset=dict(record["net_offset"]),
        net_slope=dict(record["net_slope"]),
        group_offset={group: dict(table) for group, table in record["group_offset"].items()},
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
