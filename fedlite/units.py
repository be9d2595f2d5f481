"""Human quantities to SI floats and back: the only module that knows 1024, 3600 and 1e9 as factors.

Inside fedlite every quantity is a float in SI units with the unit in its name (`time_s`, `energy_j`, `payload_bytes`,
`rate_bps`). At the edge people write "10 min", "512 MiB", "3.1 Wh", "20 Mbit/s".
"""

from __future__ import annotations

import re
from typing import Final

from fedlite.errors import UnitError, quoted

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
WEEK_S: Final = 7 * DAY_S
MONTH_S: Final = 30 * DAY_S
NANOSECOND_S: Final = 1e-9
KWH_J: Final = 1e3 * HOUR_S

UNITS: Final[dict[str, dict[str, float]]] = {
    "time": {
        "ns": NANOSECOND_S,
        "us": 1e-6,
        "ms": 1e-3,
        "s": 1.0,
        "min": 60.0,
        "h": HOUR_S,
        "d": DAY_S,
        "day": DAY_S,
        "days": DAY_S,
        "week": 7 * DAY_S,
        "weeks": 7 * DAY_S,
    },
    "bytes": {
        "B": 1.0,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "TB": 1e12,
        "KiB": float(KIB),
        "MiB": float(MIB),
        "GiB": float(GIB),
    },
    "energy": {
        "uJ": 1e-6,
        "mJ": 1e-3,
        "J": 1.0,
        "kJ": 1e3,
        "MJ": 1e6,
        "mWh": 3.6,
        "Wh": HOUR_S,
        "kWh": KWH_J,
    },
    "power": {"uW": 1e-6, "mW": 1e-3, "W": 1.0, "kW": 1e3},
    "rate": {
        "bit/s": 1.0,
        "kbit/s": 1e3,
        "Mbit/s": 1e6,
        "Gbit/s": 1e9,
        "B/s": 8.0,
        "kB/s": 8e3,
        "MB/s": 8e6,
        "GB/s": 8e9,
        "MiB/s": 8.0 * MIB,
    },
    "frequency": {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    "flops": {"FLOP/s": 1.0, "MFLOP/s": 1e6, "GFLOP/s": 1e9, "TFLOP/s": 1e12},
    "fraction": {"%": 0.01},
    "current": {"uA": 1e-6, "mA": 1e-3, "A": 1.0},
    "voltage": {"mV": 1e-3, "V": 1.0},
    "power_per_rate": {"mW/Mbps": 1e-9, "W/Mbps": 1e-6, "W/bps": 1.0},
    "carbon_intensity": {"g/kWh": 1.0 / (1e3 * HOUR_S), "gCO2e/kWh": 1.0 / (1e3 * HOUR_S)},
}
"""Dimension -> unit -> factor to SI. Rates are bits per second, carbon intensities grams per joule."""

EXAMPLES: Final[dict[str, str]] = {
    "time": "10 min",
    "bytes": "512 MiB",
    "energy": "3.1 Wh",
    "power": "1.9 W",
    "rate": "20 Mbit/s",
    "frequency": "2.8 GHz",
    "flops": "12 GFLOP/s",
    "fraction": "30 %",
    "current": "32 mA",
    "voltage": "3.3 V",
    "power_per_rate": "438 mW/Mbps",
    "carbon_intensity": "250 gCO2e/kWh",
}

_QUANTITY = re.compile(r"^\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S+)?\s*$")


def parse(text: str | float, dimension: str) -> float:
    """Return the SI value of a human quantity.

    Parameters
    ----------
    text : str or number
        Such as "10 min". A bare number is accepted for fractions only (0.3 and "30 %" are the same).
    dimension : str
        A key of `UNITS`.

    Raises
    ------
    UnitError
        If the number is malformed, has no unit, or has a unit of another dimension.
    """
    known = UNITS[dimension]
    example = EXAMPLES[dimension]
    match = _QUANTITY.match(str(text))
    if match is None:
        raise UnitError(f"got {quoted(text)}, expected {_a(dimension)}; write for example '{example}'")
    number, unit = float(match[1].replace("_", "")), match[2]
    if unit is None:
        if dimension == "fraction":
            return number
        raise UnitError(
            f"got {quoted(text)} without a unit, expected {_a(dimension)}; write '{match[1]} {example.split()[1]}'"
        )
    if unit not in known:
        raise UnitError(
            f"got {quoted(text)} with unit {quoted(unit)}, expected {_a(dimension)} in one of {', '.join(known)}; "
            f"write for example '{example}'"
        )
    return number * known[unit]


def _a(dimension: str) -> str:
    if dimension == "bytes":
        return "a size in bytes"
    name = dimension.replace("_", " ")
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


_SCALES: Final[dict[str, tuple[tuple[float, str], ...]]] = {
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "energy": ((1e6, "MJ"), (1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ")),
    "power": ((1.0, "W"), (1e-3, "mW"), (1e-6, "uW")),
    "rate": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")),
    "time": ((DAY_S, "d"), (HOUR_S, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "frequency": ((1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz"), (1.0, "Hz")),
    "flops": ((1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s"), (1.0, "FLOP/s")),
}


def show(value: float, dimension: str) -> str:
    """Return a quantity as people read it, three significant digits: `show(1.5e6, "bytes") == "1.5 MB"`."""
    scales = _SCALES[dimension]
    factor, unit = next(
        ((f, u) for f, u in scales if abs(value) >= f), scales[-1] if value else (1.0, _unit_of_one(scales))
    )
    return f"{value / factor:.3g} {unit}"


def _unit_of_one(scales: tuple[tuple[float, str], ...]) -> str:
    return next(unit for factor, unit in scales if factor == 1.0)
