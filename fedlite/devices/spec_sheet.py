"""The scalar of a configuration from its data sheet alone: clock, threads and the kind of core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fedlite.devices.fitted import FittedPopulation


def predictors(clock_hz: float, covariates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the predictors (2 + c,) of the log scalar: 1, log clock in GHz and the covariates."""
    return np.concatenate([[1.0, float(np.log(clock_hz)) - float(np.log(1e9))], covariates])


def log_scale(population: FittedPopulation, clock_hz: float, covariates: NDArray[np.float64], group: str = "") -> float:
    """Return the expected log scalar (seconds per unit of work)."""
    sheet = population.spec_sheet
    return float(sheet.coefficients @ predictors(clock_hz, covariates)) + sheet.group_offset.get(group, 0.0)
