"""Greenhouse gas of electricity: joules -> grams of CO2 equivalent, by a named grid.

Intensities are yearly averages of electricity generation over its life cycle; losses between power plant and socket,
and the making of devices, are left out.

References
----------
Ember, Yearly Electricity Data (CC BY 4.0), the year 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedlite.devices.profile import Kind
from fedlite.errors import UnknownNameError
from fedlite.units import UNITS

Number = float | NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """One electricity grid."""

    name: str
    grams_per_kwh: float
    source: str
    kind: Kind

    @property
    def grams_per_j(self) -> float:
        """Intensity in grams of CO2 equivalent per joule."""
        return self.grams_per_kwh * UNITS["carbon_intensity"]["gCO2e/kWh"]


_EMBER = (
    "Ember yearly electricity data, year 2023, as in thegreenwebfoundation/co2.js@03b5e45f "
    "data/output/average-intensities.js"
)

_INTENSITIES: Final = {
    "world": 485.99,
    "europe": 327.69,
    "eu": 243.83,
    "north-america": 356.01,
    "asia": 591.19,
    "africa": 559.42,
    "australia": 570.35,
    "austria": 110.81,
    "brazil": 105.51,
    "canada": 161.43,
    "china": 585.82,
    "denmark": 151.65,
    "finland": 79.16,
    "france": 56.04,
    "germany": 380.95,
    "india": 705.13,
    "ireland": 290.81,
    "italy": 330.72,
    "japan": 512.81,
    "luxembourg": 105.26,
    "mexico": 475.36,
    "netherlands": 267.62,
    "norway": 30.08,
    "poland": 661.93,
    "south-africa": 729.67,
    "south-korea": 441.65,
    "spain": 174.05,
    "sweden": 40.70,
    "switzerland": 34.84,
    "uk": 237.59,
    "usa": 385.98,
}

GRIDS: Final[dict[str, Grid]] = {
    name: Grid(name, value, _EMBER, Kind.DATASHEET) for name, value in _INTENSITIES.items()
}
"""Grids by name. `kind: datasheet` because national statistics are read, not measured by us."""

DEFAULT_GRID: Final = "world"


def grams(energy_j: Number, grid: str = DEFAULT_GRID) -> Number:
    """Return grams of CO2 equivalent for energy drawn from a grid.

    Raises
    ------
    UnknownNameError
        If there is no grid of this name.
    """
    if grid not in GRIDS:
        raise UnknownNameError("grid", grid, list(GRIDS))
    return energy_j * GRIDS[grid].grams_per_j
