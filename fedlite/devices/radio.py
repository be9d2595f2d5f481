"""What radios draw: power affine in throughput, a ramp before the first byte and a tail after the last one.

Powers are the radio's own, above the idle power of the device. A profile names the generation of its radio: newer
phones pay four to six times less per bit. Slopes hold for the rates that they were measured at, so a generation says
up to which rate its slope holds (power stays there beyond it) and, where its modem is slower than today's networks,
how fast it gets at most. `channels.py` prices jobs with these numbers.

References
----------
Huang et al. 2012, "A Close Examination of Performance and Power Characteristics of 4G LTE Networks" (MobiSys), the
model and its first parameters. Narayanan et al. 2021 (SIGCOMM), Galaxy S20 Ultra.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from fedlite.devices.network import ACCESS, access
from fedlite.devices.profile import Kind
from fedlite.errors import UnknownNameError
from fedlite.units import UNITS


@dataclass(frozen=True)
class Radio:
    """Power parameters of one radio, all above the device's idle power."""

    up_base_w: float
    """Power while sending, at zero throughput."""
    up_w_per_bps: float
    down_base_w: float
    """Power while receiving, at zero throughput."""
    down_w_per_bps: float
    ramp_s: float
    """Time to wake the radio before the first byte."""
    ramp_w: float
    tail_s: float
    """Time the radio stays awake after the last byte; it costs energy but holds nobody up."""
    tail_w: float
    source: str
    kind: Kind
    down_holds_bps: float = math.inf
    """Rate up to which power grows with throughput; beyond it power stays. Likewise for sending."""
    up_holds_bps: float = math.inf
    down_most_bps: float = math.inf
    """Rate that the radio gets at most, however fast the network is. Likewise for sending."""
    up_most_bps: float = math.inf


_MW_PER_MBPS: Final = UNITS["power_per_rate"]["mW/Mbps"]
_MBPS: Final = UNITS["rate"]["Mbit/s"]
_HUANG = "Huang et al. MobiSys 2012 (alpha_up, beta and the LTE tail read second hand, the rest not checked)"
_HUANG_LTE = f"{_HUANG}; 20 Mbit/s down and 10 up at most: the upper quartiles of the LTE they saw (spread assumed)"
_HUANG_WIFI = f"{_HUANG}; slopes held to 10 Mbit/s (assumed)"
_HUANG_3G = f"{_HUANG}; slopes held to 8 Mbit/s down and 2.5 up, the best of the 3G assumed here"
_S20 = (
    "SIGCOMM21-5G/artifact@35aaf28575 Data-Transfer-Power/MN-Transfer_combined.csv, least squares over 1-s samples, "
    "less 1.6 W for screen and base (assumed: it makes LTE's own 1.24 to 1.33 W agree with Huang's 1.29 W); "
    "ramp and tail of Huang's LTE; slopes held to the 95th percentile of the campaign's speed tests"
)
_SLOPES = (
    "Huang et al. MobiSys 2012 with slopes divided by 5 (newer phones: 4 to 6 times lower on LTE; carried over), "
    "held to 50 Mbit/s: the power of 2012's Wi-Fi at 10 (assumed)"
)
_ESP32 = (
    "ESP32-S3: TX 286 to 355 mA, RX 95 mA at 3.3 V (not checked), less 32 mA idle; joining 1 s and tail assumed; "
    "20 Mbit/s over TCP in the air (Espressif's Wi-Fi guide for ESP32, read second hand)"
)
_SARA = (
    "u-blox SARA-N2 at 3.6 V: Tx 220 mA at 23 dBm, Rx 46 mA, active idle 6 mA (exelonix NB|EASY manual); "
    "1.6 s to connect and 5 s awake assumed"
)
_NRF = "nRF52840 at 3 V DC/DC: TX 0 dBm 4.8 mA, RX 4.6 mA (not checked); connection events assumed"
_SX1276 = "SX1276 at 3.3 V: TX 44 mA at 14 dBm, RX 11 mA (not checked); two receive windows of class A as 2 s"
_PORT = "no measurement at hand; port power above idle assumed"
_BOARD_WIFI = "no measurement at hand; single-board computer's Wi-Fi in use above idle, order of magnitude assumed"
_S20_BASE_W: Final = 1.6


def _huang(
    up: float, down: float, base: float, ramp: tuple[float, float], tail_w: float, tail_s: float, source: str
) -> Radio:
    return Radio(
        base, up * _MW_PER_MBPS, base, down * _MW_PER_MBPS, ramp[1], ramp[0], tail_s, tail_w, source, Kind.ASSUMED
    )


def _s20(up: tuple[float, float, float], down: tuple[float, float, float]) -> Radio:
    """Return a radio of the S20 from (W, mW/Mbps, Mbit/s to which they hold) either way."""
    model = Radio(
        up[0] - _S20_BASE_W, up[1] * _MW_PER_MBPS, down[0] - _S20_BASE_W, down[1] * _MW_PER_MBPS,
        0.2601, 1.2107, 11.576, 1.06, _S20, Kind.ASSUMED,
    )  # fmt: skip
    return _held(model, down=down[2], up=up[2])


def _held(model: Radio, *, down: float, up: float) -> Radio:
    """Let the slopes hold to some rates, Mbit/s."""
    return replace(model, down_holds_bps=down * _MBPS, up_holds_bps=up * _MBPS)


def _limited(model: Radio, *, down: float, up: float) -> Radio:
    """Let the radio get some rates at most, Mbit/s."""
    return replace(model, down_most_bps=down * _MBPS, up_most_bps=up * _MBPS)


def _currents(
    volts: float, tx_a: float, rx_a: float, ramp: tuple[float, float], tail: tuple[float, float], source: str
) -> Radio:
    """Return a module whose power depends on the direction and not on throughput; ramp and tail as (A, s)."""
    return Radio(
        volts * tx_a, 0.0, volts * rx_a, 0.0, ramp[1], volts * ramp[0], tail[1], volts * tail[0], source, Kind.ASSUMED
    )


_TAIL_3G_S: Final = 8.0882 + 0.8242
_TAIL_3G_W: Final = (0.8039 * 8.0882 + 0.6013 * 0.8242) / _TAIL_3G_S

_PHONE_2012: Final = {
    "wifi": _held(
        _huang(283.17, 137.01, 0.13286, (0.1244, 0.0791), 0.1193, 0.2381, _HUANG_WIFI), down=10.0, up=10.0
    ),
    "lte": _limited(
        _huang(438.39, 51.97, 1.28804, (1.2107, 0.2601), 1.06, 11.576, _HUANG_LTE), down=20.0, up=10.0
    ),
    "3g": _held(
        _huang(868.98, 122.12, 0.81788, (0.6594, 0.5821), _TAIL_3G_W, _TAIL_3G_S, _HUANG_3G), down=8.0, up=2.5
    ),
}  # fmt: skip

_PHONE_2021: Final = {
    "wifi": _held(
        _huang(283.17 / 5, 137.01 / 5, 0.13286, (0.1244, 0.0791), 0.1193, 0.2381, _SLOPES), down=50.0, up=50.0
    ),
    "lte": _s20(up=(2.926, 76.68, 35.5), down=(2.839, 11.54, 198.1)),
    "5g-low": _s20(up=(3.199, 32.17, 75.2), down=(3.059, 11.54, 223.6)),
    "5g-mmwave": _s20(up=(5.664, 8.88, 156.6), down=(5.237, 1.73, 2667.0)),
    "3g": _PHONE_2012["3g"],
}  # fmt: skip

_MODULE: Final = {
    "wifi": _limited(
        _currents(3.3, 0.320 - 0.032, 0.095 - 0.032, (0.095 - 0.032, 1.0), (0.095 - 0.032, 0.25), _ESP32),
        down=20.0, up=20.0,
    ),
    "nb-iot": _currents(
        3.6, 0.220, 0.046, (0.046, 1.6), (0.006, 5.0),
        _SARA,
    ),
    "ble": _currents(
        3.0, 0.0048, 0.0046, (0.0046, 0.05), (0.0046, 0.05),
        _NRF,
    ),
    "lorawan": _currents(
        3.3, 0.044, 0.011, (0.0, 0.0), (0.011, 2.0),
        _SX1276,
    ),
    "ethernet": Radio(0.3, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0, _PORT, Kind.ASSUMED),
}  # fmt: skip

_BOARD: Final = {
    "wifi": Radio(
        0.4, 0.0, 0.25, 0.0, 0.0791, 0.1244, 0.2381, 0.1193,
        _BOARD_WIFI, Kind.ASSUMED,
    ),
    "ethernet": _MODULE["ethernet"],
    "ble": _MODULE["ble"],
    "lte": _PHONE_2012["lte"],
}  # fmt: skip

GENERATIONS: Final[dict[str, dict[str, Radio]]] = {
    "huang2012": _PHONE_2012,
    "s20-2021": _PHONE_2021,
    "board": _BOARD,
    "module": _MODULE,
}
"""Generation -> access type -> parameters. What a generation lacks is looked up in `module`, then `s20-2021`."""


def radio(access_name: str, generation: str) -> Radio:
    """Return the power parameters of an access type in a generation.

    Raises
    ------
    UnknownNameError
        If the generation or the access type is unknown.
    """
    if generation not in GENERATIONS:
        raise UnknownNameError("radio_generation", generation, list(GENERATIONS))
    name = "lte" if access(access_name).name == "lte-2012" else access_name
    for table in (GENERATIONS[generation], _MODULE, _PHONE_2021):
        if name in table:
            return table[name]
    raise UnknownNameError("radio", access_name, list(ACCESS))
