"""How fast and how far away devices are: throughput and round-trip time per device, drawn by access type and region.

Every distribution states its source and how well it is known. A device keeps its rates (`draw`); from transfer to
transfer they vary about them (`Variation`).

References
----------
Yang et al. 2021, "Characterizing Impacts of Heterogeneity in Federated Learning upon Large-Scale Smartphone Data"
(FLASH: 19 users' Wi-Fi). Narayanan et al. 2021, "A Variegated Look at 5G in the Wild" (SIGCOMM'21 artifact: 11,024
speed tests). Huang et al. 2012 (MobiSys).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite import rng
from fedlite.devices.profile import Kind
from fedlite.errors import UnknownNameError
from fedlite.units import UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

Ids = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

_LEVELS: Final = np.array([0.05, 0.25, 0.50, 0.75, 0.95])


@dataclass(frozen=True)
class Quantiles:
    """Five published percentiles (5, 25, 50, 75, 95), joined log-linearly; nothing is claimed beyond the outer two."""

    values: tuple[float, float, float, float, float]
    unit: float
    """SI value of the unit that `values` are in."""
    source: str
    kind: Kind

    def at(self, u: Floats) -> Floats:
        """Return the quantiles at `u`; the tails are held at the 5th and 95th percentile."""
        return np.asarray(np.exp(np.interp(u, _LEVELS, np.log(np.asarray(self.values) * self.unit))))


@dataclass(frozen=True)
class Lognormal:
    """A lognormal distribution: log(value / unit) has mean `mu` and standard deviation `sigma`."""

    mu: float
    sigma: float
    unit: float
    source: str
    kind: Kind

    def at(self, u: Floats) -> Floats:
        """Return the quantiles at `u`, held at the 0.1 and 99.9 percentile."""
        return np.asarray(np.exp(self.mu + self.sigma * _normal_quantile(np.clip(u, 1e-3, 1 - 1e-3))) * self.unit)


Distribution = Quantiles | Lognormal
"""A distribution over devices, given by its quantile function `at`."""


@dataclass(frozen=True)
class Access:
    """One way to the network."""

    name: str
    title: str
    metered: bool
    """Whether its owner pays by volume."""
    down_bps: Distribution
    up_bps: Distribution
    rtt_s: Distribution
    within_cv: float
    """Standard deviation over mean of one device's throughput from transfer to transfer."""
    within_source: str
    notes: str = ""


@dataclass(frozen=True)
class Region:
    """Median speed of the fixed lines behind Wi-Fi and Ethernet in a country."""

    name: str
    down_bps: float
    up_bps: float
    source: str
    kind: Kind


@dataclass(frozen=True)
class Rates:
    """What devices get, one entry per device."""

    down_bps: Floats
    up_bps: Floats
    rtt_s: Floats


_FLASH = "PKU-Chengxu/FLASH@55cbede013 models/speed_distri.json (19 users, kB/s, lognormal of their means)"
_SPEEDTEST = (
    "SIGCOMM21-5G/artifact NW-Perf-Speedtest/dataset_speedtest_ookla_full.csv "
    "(Ookla, Galaxy S20 Ultra class, Minneapolis 2020-21; the good-coverage end)"
)
_LORA = "LoRaWAN regional parameters EU868, DR0 to DR5 at 125 kHz (0.25 to 5.47 kbit/s; not checked against the text)"
_NBIOT = "3GPP NB1 peak 26/66 kbit/s, report latency 1.6 to 10 s (not checked); spread by coverage assumed"
_BLE = "BLE 5 application throughput 0.7/1.3 Mbit/s on 1M/2M PHY (not checked); spread by distance assumed"
_HSPA = "HSPA class link; no measurement at hand, order of magnitude assumed"
_WLAN_RTT = "no measurement at hand; home broadband over Wi-Fi, order of magnitude assumed"
_ETHERNET = "no measurement at hand; small office line, order of magnitude assumed"
_HUANG_DOWN = "Huang et al. MobiSys 2012 (abstract): median 13 Mbit/s; spread assumed"
_HUANG_UP = "Huang et al. MobiSys 2012 (abstract): median 6 Mbit/s; spread assumed"
_CLASS_A = "LoRaWAN class A: the first receive window opens 1 s after an uplink"
_CARRIED = "no measurement at hand; the within-user spread of FLASH's Wi-Fi users (0.37) carried over"

_M, _K, _KB, _MS = UNITS["rate"]["Mbit/s"], UNITS["rate"]["kbit/s"], UNITS["rate"]["kB/s"], UNITS["time"]["ms"]


def _measured(*values: float, unit: float) -> Quantiles:
    return Quantiles((values[0], values[1], values[2], values[3], values[4]), unit, _SPEEDTEST, Kind.MEASURED)


def _assumed(*values: float, unit: float, source: str) -> Quantiles:
    return Quantiles((values[0], values[1], values[2], values[3], values[4]), unit, source, Kind.ASSUMED)


_TABLE: Final = (
    Access(
        "wifi", "Wi-Fi at home or work", metered=False,
        down_bps=Lognormal(8.551, 0.484, _KB, _FLASH, Kind.MEASURED),
        up_bps=Lognormal(8.040, 0.701, _KB, _FLASH, Kind.MEASURED),
        rtt_s=_assumed(8, 14, 22, 35, 80, unit=_MS, source=_WLAN_RTT),
        within_cv=0.37, within_source=f"{_FLASH}: median within-user sd/mean",
    ),
    Access(
        "ethernet", "Ethernet on a fixed line", metered=False,
        down_bps=_assumed(25, 60, 100, 250, 900, unit=_M, source=_ETHERNET),
        up_bps=_assumed(10, 25, 40, 100, 500, unit=_M, source=_ETHERNET),
        rtt_s=_assumed(4, 8, 14, 22, 45, unit=_MS, source=_ETHERNET),
        within_cv=0.10, within_source=_ETHERNET,
    ),
    Access(
        "lte", "4G LTE", metered=True,
        down_bps=_measured(52.8, 73.4, 117.2, 161.7, 198.1, unit=_M),
        up_bps=_measured(16.7, 19.6, 31.2, 33.9, 35.5, unit=_M),
        rtt_s=_measured(41, 70, 89, 101, 107, unit=_MS),
        within_cv=0.37, within_source=_CARRIED,
        notes="Huang et al. 2012 found medians of 13 down and 6 up Mbit/s: see lte-2012.",
    ),
    Access(
        "lte-2012", "4G LTE of the first years, or at bad coverage", metered=True,
        down_bps=Lognormal(float(np.log(13.0)), 0.7, _M, _HUANG_DOWN, Kind.ASSUMED),
        up_bps=Lognormal(float(np.log(6.0)), 0.7, _M, _HUANG_UP, Kind.ASSUMED),
        rtt_s=_measured(41, 70, 89, 101, 107, unit=_MS),
        within_cv=0.37, within_source=_CARRIED,
    ),
    Access(
        "3g", "3G", metered=True,
        down_bps=_assumed(0.5, 1.5, 3.0, 5.0, 8.0, unit=_M, source=_HSPA),
        up_bps=_assumed(0.2, 0.6, 1.2, 1.8, 2.5, unit=_M, source=_HSPA),
        rtt_s=_assumed(80, 120, 150, 220, 400, unit=_MS, source=_HSPA),
        within_cv=0.37, within_source=_CARRIED,
    ),
    Access(
        "5g-low", "5G NSA low-band", metered=True,
        down_bps=_measured(10.4, 55.5, 78.1, 123.1, 223.6, unit=_M),
        up_bps=_measured(35.2, 51.7, 64.1, 73.4, 75.2, unit=_M),
        rtt_s=_measured(23, 48, 67, 76, 96, unit=_MS),
        within_cv=0.37, within_source=_CARRIED,
    ),
    Access(
        "5g-mmwave", "5G NSA mmWave", metered=True,
        down_bps=_measured(94, 458, 944, 1758, 2667, unit=_M),
        up_bps=_measured(35.5, 56.6, 77.2, 98.1, 156.6, unit=_M),
        rtt_s=_measured(25, 37, 52, 70, 84, unit=_MS),
        within_cv=0.37, within_source=_CARRIED,
    ),
    Access(
        "nb-iot", "NB-IoT", metered=True,
        down_bps=_assumed(1, 8, 16, 22, 26, unit=_K, source=_NBIOT),
        up_bps=_assumed(1, 10, 25, 45, 66, unit=_K, source=_NBIOT),
        rtt_s=_assumed(1.6, 2.0, 3.0, 5.0, 10.0, unit=1.0, source=_NBIOT),
        within_cv=0.37, within_source=_CARRIED,
    ),
    Access(
        "ble", "Bluetooth LE to a phone or gateway", metered=False,
        down_bps=_assumed(0.1, 0.4, 0.7, 1.0, 1.3, unit=_M, source=_BLE),
        up_bps=_assumed(0.1, 0.4, 0.7, 1.0, 1.3, unit=_M, source=_BLE),
        rtt_s=_assumed(15, 30, 50, 100, 400, unit=_MS, source=_BLE),
        within_cv=0.37, within_source=_CARRIED,
    ),
    Access(
        "lorawan", "LoRaWAN EU868 (1 % duty cycle)", metered=False,
        down_bps=_assumed(250, 980, 1760, 3125, 5470, unit=1.0, source=_LORA),
        up_bps=_assumed(250, 980, 1760, 3125, 5470, unit=1.0, source=_LORA),
        rtt_s=_assumed(1.0, 1.0, 1.1, 1.5, 2.0, unit=1.0, source=_CLASS_A),
        within_cv=0.0, within_source="the data rate is fixed by the network server",
        notes="Rates while on air; devices/radio.py adds the wait that the duty cycle imposes.",
    ),
)  # fmt: skip

ACCESS: Final[dict[str, Access]] = {access.name: access for access in _TABLE}
"""Access types by name."""

_LOCATIONS = "arnogeimer/bouquetfl@629513dccc datasets/locations.toml, which calls its values placeholders"


def _region(name: str, down_mbps: float, up_mbps: float) -> Region:
    return Region(name, down_mbps * _M, up_mbps * _M, _LOCATIONS, Kind.ASSUMED)


REGIONS: Final[dict[str, Region]] = {
    region.name: region
    for region in (
        _region("usa", 300, 55),
        _region("canada", 280, 100),
        _region("uk", 170, 50),
        _region("germany", 100, 40),
        _region("france", 350, 260),
        _region("luxembourg", 215, 125),
    )
}
"""Median fixed-line speeds by country: placeholders of their source, so `kind: assumed`."""

FIXED_LINE: Final = frozenset({"wifi", "ethernet"})
"""Access types whose speed a region changes."""


def access(name: str) -> Access:
    """Return an access type by name.

    Raises
    ------
    UnknownNameError
        If there is none of this name.
    """
    if name not in ACCESS:
        raise UnknownNameError("access", name, list(ACCESS))
    return ACCESS[name]


def draw(access_name: str, seed: int, device_ids: Ids, *, region: str | None = None) -> Rates:
    """Return the rates of devices on one access type: pure functions of (seed, device).

    Parameters
    ----------
    access_name : str
        A key of `ACCESS`.
    seed : int
        Names the random stream.
    device_ids : (N,) integers
        Device numbers.
    region : str, optional
        A key of `REGIONS`. On Wi-Fi and Ethernet the distribution keeps its shape and is moved to the country's
        median fixed line; mobile and IoT access types have no regional data and stay as they are.

    Notes
    -----
    Downlink and uplink of a device share three quarters of their variance (assumed): a bad place is bad both ways.
    """
    kind = access(access_name)
    place = rng.normal(seed, f"network place {access_name}", device_ids)
    down = _correlated(place, rng.normal(seed, f"network down {access_name}", device_ids))
    up = _correlated(place, rng.normal(seed, f"network up {access_name}", device_ids))
    rates = Rates(
        kind.down_bps.at(down),
        kind.up_bps.at(up),
        kind.rtt_s.at(rng.uniform(seed, f"network rtt {access_name}", device_ids)),
    )
    if region is None:
        return rates
    if region not in REGIONS:
        raise UnknownNameError("region", region, list(REGIONS))
    if access_name not in FIXED_LINE:
        return rates
    half = np.array([0.5])
    return replace(
        rates,
        down_bps=rates.down_bps * (REGIONS[region].down_bps / kind.down_bps.at(half)),
        up_bps=rates.up_bps * (REGIONS[region].up_bps / kind.up_bps.at(half)),
    )


class Variation:
    """How the rates of devices vary from transfer to transfer: lognormal about each device's own, keeping its mean.

    Parameters
    ----------
    access_names : sequence of str
        The A access types that devices use.
    seed : int
        Names the random streams.
    """

    def __init__(self, access_names: Sequence[str], seed: int) -> None:
        sigmas = [float(np.sqrt(np.log1p(access(name).within_cv ** 2))) for name in access_names]
        self._sigma = np.array(sigmas)
        self._shift = np.array([0.5 * sigma**2 for sigma in sigmas])
        seeds = [
            [rng.normal_seeds(seed, f"network {direction} now {name}") for name in access_names]
            for direction in ("down", "up")
        ]
        # Both numbers of the transform first: (2, directions, A).
        self._seeds = np.ascontiguousarray(np.moveaxis(np.array(seeds, dtype=np.uint64), -1, 0))

    def of(self, rates: Rates, access_of: Ids, device_ids: Ids, counter: NDArray[Any] | int) -> Rates:
        """Return the rates of one transfer of each of N devices: a pure function of (seed, device, counter).

        Parameters
        ----------
        rates : Rates
            The devices' own.
        access_of : (N,) integers
            Which of the access types each device uses.
        device_ids : (N,) integers
        counter : (N,) integers or int
            Numbers the transfer (the device's jobs, say).
        """
        noise = rng.normals(self._seeds[:, :, access_of], device_ids, counter)
        down, up = np.exp(self._sigma[access_of] * noise - self._shift[access_of])
        return Rates(rates.down_bps * down, rates.up_bps * up, rates.rtt_s)


def _correlated(place: Floats, own: Floats) -> Floats:
    """Return uniforms whose normal scores share `place`."""
    return _normal_cdf(np.sqrt(0.75) * place + np.sqrt(0.25) * own)


def _normal_cdf(z: Floats) -> Floats:
    """Return the normal distribution function by Zelen and Severo's 26.2.17 (error below 7.5e-8)."""
    t = 1.0 / (1.0 + 0.2316419 * np.abs(z))
    poly = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) * poly
    return np.asarray(np.where(z >= 0, 1.0 - tail, tail))


def _normal_quantile(u: Floats) -> Floats:
    """Return the normal quantile by Hastings' 26.2.23 (error below 4.5e-4), enough for drawn rates."""
    p = np.minimum(u, 1.0 - u)
    t = np.sqrt(-2.0 * np.log(p))
    z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    return np.asarray(np.copysign(z, u - 0.5))
