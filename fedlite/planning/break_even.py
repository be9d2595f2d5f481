"""An inference on the device or asked from a server: time, joules and bytes of either, and where they are equal.

Asking takes the handshake of the access type, the request on its way up, the server's own time and the answer on its
way down; the radio is paid for its ramp, for both transfers and for the tail that follows, as for any job
(`devices/channels.py`). What the device draws anyway is on neither side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.devices import network
from fedlite.devices.channels import HANDSHAKES, Channels
from fedlite.devices.estimate import Calibration, Estimate
from fedlite.devices.radio import Radio, radio
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.devices.profile import DeviceProfile
    from fedlite.devices.workload import Workload

Floats = NDArray[np.float64]

_BAND: Final = np.array([0.5, 0.9, 0.1])
"""Quantiles over devices of the median link, of one that nine in ten do not reach, and of one that they do."""
_TRIPS: Final = 3
_NARROWEST, _WIDEST = 1e-3, 1e3
_HALVINGS: Final = 40
_IN_TURN: Final = 240
"""Inferences one after another, of which the mean is taken."""


@dataclass(frozen=True)
class Request:
    """What one inference on a server takes.

    Attributes
    ----------
    up_bytes, down_bytes : float
        The sample and the answer, as they are encoded.
    server_s : float
        From the last byte of the sample to the first of the answer.
    at_once : int
        Inferences in a row over one connection: the handshake, the ramp and the tail are shared by so many. Each but
        the first waits for a round trip of its own, in which the radio listens.
    offline : float
        Share of the times at which there is no network.
    """

    up_bytes: float
    down_bytes: float
    server_s: float = 0.0
    at_once: int = 1
    offline: float = 0.0

    def __post_init__(self) -> None:
        for name in ("up_bytes", "down_bytes", "server_s"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise FedliteError(f"{name}: got {getattr(self, name)}, expected 0 or more; mend the value")
        if self.at_once < 1:
            raise FedliteError(f"at_once: got {self.at_once}, expected 1 or more; mend the value")
        if not 0.0 <= self.offline < 1.0:
            raise FedliteError(f"offline: got {self.offline}, expected 0 up to below 1; write a share such as 0.05")

    @property
    def bytes(self) -> float:
        """Both ways."""
        return self.up_bytes + self.down_bytes


@dataclass(frozen=True)
class Asked:
    """One inference asked from a server over an access type, in the mean over those in a row.

    Attributes
    ----------
    time : Estimate
        Seconds, from the device's wish to the answer; the band is that of the links of eight in ten devices.
    energy : Estimate
        Joules of the radio.
    rtt_s : float
        Of the round trip, at the median.
    trips : float
        Round trips that one inference waits for.
    """

    time: Estimate
    energy: Estimate
    rtt_s: float
    trips: float


def ask(profile: DeviceProfile, access: str, request: Request, every_s: float = math.inf) -> Asked:
    """Return what asking takes a device over an access type.

    Parameters
    ----------
    profile : DeviceProfile
    access : str
    request : Request
    every_s : float
        From the begin of an inference to that of the next, in the mean over those in a row: a radio that is still
        awake needs no ramp and cuts its tail. 0 where they follow each other at once.

    Raises
    ------
    UnknownNameError
        If there is no such access type.
    """
    kind = network.access(access)
    channels = Channels([(access, profile.radio_generation)])
    only, n = np.zeros(len(_BAND), dtype=np.int64), request.at_once
    up_bps, down_bps = kind.up_bps.at(_BAND), kind.down_bps.at(_BAND)
    rtt_s = kind.rtt_s.at(1.0 - _BAND)
    sent, heard = np.full(len(_BAND), n * request.up_bytes), np.full(len(_BAND), n * request.down_bytes)
    tail_s = channels.tail_s[only]
    # The answer comes over the connection that is there, while the radio still listens.
    left_s = tail_s - request.server_s
    down = channels.transfers(only, heard, down_bps, np.zeros(len(_BAND)), awake_s=left_s, uplink=False)
    # The handshake's last trip is the first request; each further one waits for a trip of its own, and for the server.
    model = radio(access, profile.radio_generation)
    wakes = request.server_s >= model.tail_s
    waited_j = model.tail_w * min(request.server_s, model.tail_s) + wakes * model.ramp_w * model.ramp_s
    # To a radio that is awake, and whose tail is cut in the beginning; what it takes to be so comes after it.
    up = channels.transfers(only, sent, up_bps, rtt_s, awake_s=tail_s + 1.0, uplink=True)
    takes_s = up.time_s + down.time_s + (n - 1) * (rtt_s + wakes * model.ramp_s) + n * request.server_s
    woken, ran_s = _in_turn(n * every_s, takes_s, model)
    time_s = (takes_s + woken * model.ramp_s) / n
    waking_j = woken * model.ramp_w * model.ramp_s + ran_s * model.tail_w
    energy_j = (up.energy_j + down.energy_j + waking_j + (n - 1) * (model.down_base_w * rtt_s + waited_j)) / n
    low, high = channels.band[0]
    trips = (HANDSHAKES.get(access, _TRIPS) + n - 1) / n
    return Asked(
        Estimate(float(time_s[0]), float(time_s[1]), float(time_s[2]), Calibration.ASSUMED),
        Estimate(float(energy_j[0]), float(low * energy_j.min()), float(high * energy_j.max()), Calibration.ASSUMED),
        float(rtt_s[0]),
        trips,
    )


def _in_turn(every_s: float, takes_s: Floats, model: Radio) -> tuple[Floats, Floats]:
    """Return how often a radio wakes up for what comes so often, and how much of its tail runs, in the mean.

    `takes_s` is the time of each if the radio is awake. One after another, by the clock: who has woken the radio ends
    later, so that the next may find it awake.
    """
    if math.isinf(every_s):
        return np.ones_like(takes_s), np.full_like(takes_s, model.tail_s)
    ends_s = takes_s
    woken, ran_s = np.zeros_like(takes_s), np.zeros_like(takes_s)
    for number in range(1, _IN_TURN + 1):
        starts_s = np.maximum(number * every_s, ends_s)
        gap_s = starts_s - ends_s
        wakes = gap_s >= model.tail_s
        woken += wakes
        ran_s += np.minimum(gap_s, model.tail_s)
        ends_s = starts_s + takes_s + wakes * model.ramp_s
    return woken / _IN_TURN, ran_s / _IN_TURN


def break_even(
    profile: DeviceProfile, request: Request, workload: Workload, price: Callable[[Workload], tuple[Estimate, Estimate]]
) -> list[dict[str, Any]]:
    """Return for each access type of a device how asking compares with computing, and where they would be equal.

    Parameters
    ----------
    profile : DeviceProfile
    request : Request
    workload : Workload
        Of one inference.
    price : callable
        Of a workload on the device: seconds, and joules above idle.

    Returns
    -------
    list of dict
        access; asked_ms, asked_mj; faster, cheaper : "device" or "server"; even_time_macs, even_energy_macs : of the
        same net, so much wider or narrower that asking is as fast, or as cheap; None if no width is; even_bytes : the
        request up to which asking is as fast; even_rtt_ms : the round trip; None for both where no value is small
        enough; fallback_ms : mean time if the device computes itself while there is no network.
    """
    return [_compared(profile, access, request, workload, price) for access in profile.radios]


def _compared(
    profile: DeviceProfile,
    access: str,
    request: Request,
    workload: Workload,
    price: Callable[[Workload], tuple[Estimate, Estimate]],
) -> dict[str, Any]:
    asked = ask(profile, access, request)
    time, energy = price(workload)
    here_s, there_s = float(time.value), float(asked.time.value)
    here_j, there_j = float(energy.value), float(asked.energy.value)
    spare_s = here_s - there_s
    even_rtt_s = asked.rtt_s + spare_s / asked.trips if asked.trips else -1.0
    return {
        "access": access,
        "asked_ms": 1e3 * there_s,
        "asked_mj": 1e3 * there_j,
        "faster": "server" if there_s < here_s else "device",
        "cheaper": "server" if there_j < here_j else "device",
        "even_time_macs": _even(lambda net: float(price(net)[0].value), workload, there_s),
        "even_energy_macs": _even(lambda net: float(price(net)[1].value), workload, there_j),
        "even_bytes": _even_bytes(profile, access, request, here_s),
        "even_rtt_ms": 1e3 * even_rtt_s if even_rtt_s >= 0 else None,
        "fallback_ms": 1e3 * ((1.0 - request.offline) * there_s + request.offline * here_s),
    }


def _even_bytes(profile: DeviceProfile, access: str, request: Request, most_s: float) -> float | None:
    """Return the longest request that is answered in time, by halving: some radios send in packets, or seldom."""

    def late(up_bytes: float) -> bool:
        return float(ask(profile, access, replace(request, up_bytes=up_bytes)).time.value) > most_s

    # Nothing to send is no transfer, which neither greets nor wakes the radio.
    low, high = 1.0, 2.0
    if late(low):
        return None
    while not late(high):
        low, high = high, 2.0 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if late(middle) else (middle, high)
    return low


def _even(price: Callable[[Workload], float], workload: Workload, most: float) -> float | None:
    """Return the multiply-accumulates of the net at the width at which it costs as much, found by halving."""
    low, high = _NARROWEST, _WIDEST
    if not price(workload.widened(low)) < most < price(workload.widened(high)):
        return None
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if price(workload.widened(middle)) < most else (low, middle)
    return float(workload.widened(high).macs)
