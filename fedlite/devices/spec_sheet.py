"""The scalar of a configuration from its data sheet alone: clock, threads and the kind of core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlite.devices.cores import GHZ

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.devices.fitted import FittedPopulation


def predictors(clock_hz: float, covariates: Mapping[str, float]) -> dict[str, float]:
    """Return the predictors of the log scalar: a constant, the log clock in GHz and the covariates."""
    return {"constant": 1.0, "log_clock": float(np.log(clock_hz / GHZ)), **covariates}


def log_scale(population: FittedPopulation, clock_hz: float, covariates: Mapping[str, float]) -> float:
    """Return the expected log scalar (seconds per unit of work)."""
    known = population.spec_sheet.coefficients
    return sum(known.get(name, 0.0) * value for name, value in predictors(clock_hz, covariates).items())
