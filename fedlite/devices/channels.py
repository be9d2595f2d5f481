"""Time and energy of what jobs send and receive: one state machine per radio, priced in arrays for many jobs.

    idle -> ramp -> active -> tail -> idle

An idle radio ramps up before the first byte and stays awake for its tail after the last one. What begins while the tail
runs needs no ramp and cuts the tail; so does the upload of a job that trains for less than the tail. A tail costs
energy but holds nobody up. It is charged in full to the transfer that it follows, and who cuts it is given back the
rest: over all jobs of a device the sum is what its radios drew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.devices.network import access
from fedlite.devices.power import BANDS
from fedlite.devices.radio import radio
from fedlite.units import DAY_S, HOUR_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.devices.network import Rates

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

HANDSHAKES: Final[dict[str, int]] = {"nb-iot": 1, "ble": 1, "lorawan": 0}
"""Round trips before the first byte; 3 (TCP, TLS 1.3, request) on everything else."""

LORAWAN_DUTY: Final = 0.01
"""Share of time that a device may be on air in most EU868 sub-bands."""
LORAWAN_OVERHEAD_BYTES: Final = 13
"""LoRaWAN frame overhead per packet."""
LORAWAN_RATES_BPS: Final = np.array([1_700.0, 3_000.0])
LORAWAN_PAYLOAD_BYTES: Final = np.array([51.0, 115.0, 222.0])
"""Largest application payload, EU868: up to DR2 (below the first rate), at DR3, from DR4 on."""


@dataclass(frozen=True)
class Transfer:
    """n transfers by the states of their radios. All arrays have shape (n,); a transfer of no bytes is all zeros."""

    ramp_s: Floats
    """Waking the radio; nothing if it was awake."""
    ramp_j: Floats
    active_s: Floats
    """Handshake, time on air, and silences between packets."""
    active_j: Floats
    tail_j: Floats
    """The whole tail that follows, less what the transfer cuts of the one that ran as it began."""

    @property
    def time_s(self) -> Floats:
        """Seconds until the last byte has arrived."""
        return self.ramp_s + self.active_s

    @property
    def energy_j(self) -> Floats:
        """Everything that the transfer adds to what the radio draws."""
        return self.ramp_j + self.active_j + self.tail_j


class Channels:
    """The radios that many jobs use, their parameters as arrays: pricing a batch asks no table by name.

    Parameters
    ----------
    pairs : sequence of (access type, generation)
        Keys of `network.ACCESS` and `radio.GENERATIONS`; jobs name one by its position.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        models = [radio(*pair) for pair in pairs]
        self.tail_s = np.array([model.tail_s for model in models], dtype=np.float64)
        """How long each radio stays awake after its last byte."""
        self.band = np.array([BANDS[model.kind] for model in models], dtype=np.float64)
        """Factors (low, high) around the energy of each radio, shape (pairs, 2)."""
        self._up = np.array([_terms(*pair, uplink=True) for pair in pairs], dtype=np.float64).T
        self._down = np.array([_terms(*pair, uplink=False) for pair in pairs], dtype=np.float64).T
        best_bps = np.array([_best_bps(name) for name, _ in pairs], dtype=np.float64)
        self.best_bps = np.minimum(best_bps, [max(model.up_most_bps, model.down_most_bps) for model in models])
        """Rate that neither network nor radio exceeds either way."""
        self._on_lorawan = np.array([name == "lorawan" for name, _ in pairs], dtype=np.bool_)

    def job(
        self,
        channel_of: Ids,
        down_bytes: Floats,
        up_bytes: Floats,
        rates: Rates,
        *,
        between_s: Floats,
        awake_s: Floats,
    ) -> tuple[Transfer, Transfer]:
        """Return the downlinks and the uplinks of n jobs.

        Parameters
        ----------
        channel_of : ndarray of int, shape (n,)
            Which radio each job uses, for both.
        down_bytes, up_bytes : ndarrays, shape (n,)
        rates : Rates
            Throughputs and round-trip times, (n,).
        between_s : ndarray, shape (n,)
            Time from the end of the downlink to the begin of the uplink.
        awake_s : ndarray, shape (n,)
            How long from the jobs' start the tail of the radio's last transfer would run; nothing or less: it is idle.
        """
        down = self.transfers(channel_of, down_bytes, rates.down_bps, rates.rtt_s, awake_s=awake_s, uplink=False)
        # Without a downlink the tail of before goes on.
        awake_s = np.where(down_bytes > 0, self.tail_s[channel_of], awake_s)
        awake_s = awake_s - between_s
        return down, self.transfers(channel_of, up_bytes, rates.up_bps, rates.rtt_s, awake_s=awake_s, uplink=True)

    def transfers(
        self, channel_of: Ids, payload_bytes: Floats, rate_bps: Floats, rtt_s: Floats, *, awake_s: Floats, uplink: bool
    ) -> Transfer:
        """Return n transfers of their own, the parameters as those of `job`."""
        terms = (self._up if uplink else self._down)[:, channel_of]
        ramp_s, ramp_j, tail_s, tail_w, trips, listening_w, base_w, slope, holds_bps, most_bps = terms
        rate_bps = np.minimum(rate_bps, most_bps)
        sends = payload_bytes > 0
        wakes = sends & (awake_s <= 0)
        air_s, wait_s = _air(self._on_lorawan[channel_of], payload_bytes, rate_bps)
        greet_s = trips * rtt_s
        # Waiting for an answer is listening.
        active_j = listening_w * greet_s + (base_w + slope * np.minimum(rate_bps, holds_bps)) * air_s
        return Transfer(
            ramp_s=wakes * ramp_s,
            ramp_j=wakes * ramp_j,
            active_s=sends * (greet_s + air_s + wait_s),
            active_j=sends * active_j,
            tail_j=sends * tail_w * (tail_s - np.clip(awake_s, 0.0, tail_s)),
        )

    def least_s(self, channel_of: Ids, payload_bytes: Floats) -> Floats:
        """Return the least time (n,) in which payloads can cross, at the best rate that each radio can have."""
        air_s, silence_s = _air(self._on_lorawan[channel_of], payload_bytes, self.best_bps[channel_of])
        return air_s + silence_s


def _terms(access_name: str, generation: str, *, uplink: bool) -> tuple[float, ...]:
    model = radio(access_name, generation)
    direction = (
        (model.up_base_w, model.up_w_per_bps, model.up_holds_bps, model.up_most_bps)
        if uplink
        else (model.down_base_w, model.down_w_per_bps, model.down_holds_bps, model.down_most_bps)
    )
    ramp_j, trips = model.ramp_w * model.ramp_s, HANDSHAKES.get(access_name, 3)
    return model.ramp_s, ramp_j, model.tail_s, model.tail_w, trips, model.down_base_w, *direction


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


@cache
def _best_bps(access_name: str) -> float:
    return float(access(access_name).up_bps.at(np.ones(1))[0])


def infeasible(access_name: str, generation: str, payload_bytes: float, *, within_s: float = DAY_S) -> str | None:
    """Return why a payload cannot cross within `within_s` even at the best rate, as a sentence; None if it can.

    The best rate is the network's, or what a radio of this generation gets at most. For many payloads at once compare
    `Channels.least_s` with the limit.
    """
    only = Channels([(access_name, generation)])
    need_s = float(only.least_s(np.zeros(1, dtype=np.int64), np.array([payload_bytes], dtype=np.float64))[0])
    if need_s <= within_s:
        return None
    duty = f" under its {LORAWAN_DUTY:.0%} duty cycle" if access_name == "lorawan" else ""
    title = access(access_name).title.split(" (")[0]
    return (
        f"{payload_bytes:,.0f} bytes over {title} would take {need_s / HOUR_S:,.0f} hours{duty} even at the best "
        f"rate of {only.best_bps[0]:,.0f} bit/s; send a far smaller update or use another radio."
    )
