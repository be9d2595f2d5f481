"""Time and energy of one transfer: power affine in throughput, a ramp before it and a tail after it.

Energies are the radio's own, above the idle power of the device. A profile names the generation of its radio: newer
phones pay four to six times less per bit.

References
----------
Huang et al. 2012, "A Close Examination of Performance and Power Characteristics of 4G LTE Networks" (MobiSys), the
model and its first parameters. Narayanan et al. 2021 (SIGCOMM), Galaxy S20 Ultra.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.devices.network import ACCESS, access
from fedlite.devices.profile import Kind
from fedlite.errors import UnknownNameError
from fedlite.units import DAY_S, HOUR_S, UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Number = float | Floats


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


_MW_PER_MBPS: Final = UNITS["power_per_rate"]["mW/Mbps"]
_HUANG = "Huang et al. MobiSys 2012 (alpha_up, beta and the LTE tail read second hand, the rest not checked)"
_S20 = (
    "SIGCOMM21-5G/artifact@35aaf28575 Data-Transfer-Power/MN-Transfer_combined.csv, least squares over 1-s samples, "
    "less 1.6 W for screen and base (assumed: it makes LTE's own 1.24 to 1.33 W agree with Huang's 1.29 W); "
    "ramp and tail of Huang's LTE"
)
_SLOPES = "Huang et al. MobiSys 2012 with slopes divided by 5 (newer phones: 4 to 6 times lower on LTE; carried over)"
_ESP32 = "ESP32-S3: TX 286 to 355 mA, RX 95 mA at 3.3 V (not checked), less 32 mA idle; joining 1 s and tail assumed"
_SARA = (
    "u-blox SARA-N2 at 3.6 V: Tx 220 mA at 23 dBm, Rx 46 mA, active idle 6 mA (exelonix NB|EASY manual); "
    "1.6 s to connect and 5 s awake assumed"
)
_NRF = "nRF52840 at 3 V DC/DC: TX 0 dBm 4.8 mA, RX 4.6 mA (not checked); connection events assumed"
_SX1276 = "SX1276 at 3.3 V: TX 44 mA at 14 dBm, RX 11 mA (not checked); two receive windows of class A as 2 s"
_PORT = "no measurement at hand; port power above idle assumed"
_BOARD_WIFI = "no measurement at hand; single-board computer's Wi-Fi in use above idle, order of magnitude assumed"
_S20_BASE_W: Final = 1.6


def _huang(up: float, down: float, base: float, ramp: tuple[float, float], tail_w: float, tail_s: float) -> Radio:
    return Radio(
        base, up * _MW_PER_MBPS, base, down * _MW_PER_MBPS, ramp[1], ramp[0], tail_s, tail_w, _HUANG, Kind.ASSUMED
    )


def _s20(up: tuple[float, float], down: tuple[float, float]) -> Radio:
    return Radio(
        up[0] - _S20_BASE_W, up[1] * _MW_PER_MBPS, down[0] - _S20_BASE_W, down[1] * _MW_PER_MBPS,
        0.2601, 1.2107, 11.576, 1.06, _S20, Kind.ASSUMED,
    )  # fmt: skip


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
    "wifi": _huang(283.17, 137.01, 0.13286, (0.1244, 0.0791), 0.1193, 0.2381),
    "lte": _huang(438.39, 51.97, 1.28804, (1.2107, 0.2601), 1.06, 11.576),
    "3g": _huang(868.98, 122.12, 0.81788, (0.6594, 0.5821), _TAIL_3G_W, _TAIL_3G_S),
}

_PHONE_2021: Final = {
    "wifi": Radio(
        0.13286, 283.17 / 5 * _MW_PER_MBPS, 0.13286, 137.01 / 5 * _MW_PER_MBPS, 0.0791, 0.1244, 0.2381, 0.1193,
        _SLOPES,
        Kind.ASSUMED,
    ),
    "lte": _s20(up=(2.926, 76.68), down=(2.839, 11.54)),
    "5g-low": _s20(up=(3.199, 32.17), down=(3.059, 11.54)),
    "5g-mmwave": _s20(up=(5.664, 8.88), down=(5.237, 1.73)),
    "3g": _PHONE_2012["3g"],
}  # fmt: skip

_MODULE: Final = {
    "wifi": _currents(
        3.3, 0.320 - 0.032, 0.095 - 0.032, (0.095 - 0.032, 1.0), (0.095 - 0.032, 0.25),
        _ESP32,
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

HANDSHAKES: Final[dict[str, int]] = {"nb-iot": 1, "ble": 1, "lorawan": 0}
"""Round trips before the first byte; 3 (TCP, TLS 1.3, request) on everything else."""

LORAWAN_DUTY: Final = 0.01
"""Share of time that a device may be on air in most EU868 sub-bands."""
LORAWAN_OVERHEAD_BYTES: Final = 13
"""LoRaWAN frame overhead per packet."""
LORAWAN_RATES_BPS: Final = np.array([1_700.0, 3_000.0])
LORAWAN_PAYLOAD_BYTES: Final = np.array([51.0, 115.0, 222.0])
"""Largest application payload, EU868: up to DR2 (below the first rate), at DR3, from DR4 on."""


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


def transfer(
    access_name: str, generation: str, payload_bytes: Number, rate_bps: Number, rtt_s: Number, *, uplink: bool
) -> tuple[Floats, Floats]:
    """Return the time and the radio's energy of one transfer.

    Parameters
    ----------
    access_name, generation : str
        Keys of `ACCESS` and `GENERATIONS`.
    payload_bytes, rate_bps, rtt_s : float or (N,) arrays
        Size, throughput while transferring, round-trip time; broadcast against each other. A transfer of zero bytes
        does not happen and costs nothing.
    uplink : bool
        Direction: sending or receiving.

    Returns
    -------
    time_s, energy_j : arrays
        Until the last byte has arrived; energy includes the tail that follows.
    """
    payload, rate, rtt = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (payload_bytes, rate_bps, rtt_s)))
    one = Channels([(access_name, generation)])
    time_s, energy_j = one.transfers(
        np.zeros(payload.size, np.int64), payload.ravel(), rate.ravel(), rtt.ravel(), uplink=uplink
    )
    return time_s.reshape(payload.shape), energy_j.reshape(payload.shape)


class Channels:
    """The radios that many transfers use, their parameters as arrays: pricing a batch asks no table by name.

    Parameters
    ----------
    pairs : sequence of (access type, generation)
        Keys of `ACCESS` and `GENERATIONS`; transfers name one by its position.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._up = np.array([_terms(*pair, uplink=True) for pair in pairs], dtype=np.float64).T
        self._down = np.array([_terms(*pair, uplink=False) for pair in pairs], dtype=np.float64).T
        self._best_bps = np.array([_best_bps(name) for name, _ in pairs], dtype=np.float64)
        self._on_lorawan = np.array([name == "lorawan" for name, _ in pairs], dtype=np.bool_)

    def transfers(
        self, channel_of: Ids, payload_bytes: Floats, rate_bps: Floats, rtt_s: Floats, *, uplink: bool
    ) -> tuple[Floats, Floats]:
        """Return time and energy of n transfers, as `transfer` does.

        Parameters
        ----------
        channel_of : ndarray of int, shape (n,)
            Which radio each transfer uses.
        payload_bytes, rate_bps, rtt_s : ndarrays, shape (n,)
        uplink : bool
        """
        terms = (self._up if uplink else self._down)[:, channel_of]
        ramp_s, ramp_j, tail_j, trips, listening_w, base_w, slope = terms
        sends = payload_bytes > 0
        air_s, wait_s = _air(self._on_lorawan[channel_of], payload_bytes, rate_bps)
        greet_s = trips * rtt_s
        time_s = np.where(sends, ramp_s + greet_s + air_s + wait_s, 0.0)
        # Waiting for an answer is listening.
        spent_j = ramp_j + listening_w * greet_s + (base_w + slope * rate_bps) * air_s + tail_j
        return time_s, np.where(sends, spent_j, 0.0)

    def least_s(self, channel_of: Ids, payload_bytes: Floats) -> Floats:
        """Return the least time (n,) in which payloads can cross, at the best rate that each access type knows."""
        air_s, silence_s = _air(self._on_lorawan[channel_of], payload_bytes, self._best_bps[channel_of])
        return air_s + silence_s


def _terms(access_name: str, generation: str, *, uplink: bool) -> tuple[float, ...]:
    model = radio(access_name, generation)
    base_w, slope = (model.up_base_w, model.up_w_per_bps) if uplink else (model.down_base_w, model.down_w_per_bps)
    ramp_j, tail_j = model.ramp_w * model.ramp_s, model.tail_w * model.tail_s
    return model.ramp_s, ramp_j, tail_j, HANDSHAKES.get(access_name, 3), model.down_base_w, base_w, slope


def _air(lorawan: NDArray[np.bool_], payload: Floats, rate: Floats) -> tuple[Floats, Floats]:
    """Return the seconds on air and the seconds of silence that a duty cycle imposes between packets."""
    air_s, wait_s = payload * 8.0 / rate, np.zeros(payload.shape)
    if lorawan.any():
        air_s[lorawan], wait_s[lorawan] = _lorawan_air(payload[lorawan], rate[lorawan])
    return air_s, wait_s


def _lorawan_air(payload: Floats, rate: Floats) -> tuple[Floats, Floats]:
    largest = LORAWAN_PAYLOAD_BYTES[np.searchsorted(LORAWAN_RATES_BPS, rate, side="right")]
    packets = np.ceil(payload / largest)
    air_s = (payload + LORAWAN_OVERHEAD_BYTES * packets) * 8.0 / rate
    # The silence after the last packet delays the next transfer, not this one.
    silence_s = air_s * (1.0 / LORAWAN_DUTY - 1.0)
    return air_s, silence_s * (1.0 - 1.0 / np.maximum(packets, 1.0))


def best_s(access_name: str, payload_bytes: Number) -> Floats:
    """Return the least time (N,) in which payloads can cross one access type."""
    payload = np.asarray(payload_bytes, dtype=np.float64).ravel()
    lorawan = np.full(payload.shape, access_name == "lorawan")
    air_s, silence_s = _air(lorawan, payload, np.full(payload.shape, _best_bps(access_name)))
    return (air_s + silence_s).reshape(np.shape(payload_bytes))


@cache
def _best_bps(access_name: str) -> float:
    return float(access(access_name).up_bps.at(np.ones(1))[0])


def infeasible(access_name: str, payload_bytes: float, *, within_s: float = DAY_S) -> str | None:
    """Return why a payload cannot cross within `within_s` even at the best rate, as a sentence; None if it can.

    For many payloads at once compare `best_s` with the limit.
    """
    need_s = float(best_s(access_name, payload_bytes))
    if need_s <= within_s:
        return None
    duty = f" under its {LORAWAN_DUTY:.0%} duty cycle" if access_name == "lorawan" else ""
    title = access(access_name).title.split(" (")[0]
    return (
        f"{payload_bytes:,.0f} bytes over {title} would take {need_s / HOUR_S:,.0f} hours{duty} even at the best "
        f"rate of {_best_bps(access_name):,.0f} bit/s; send a far smaller update or use another radio."
    )
