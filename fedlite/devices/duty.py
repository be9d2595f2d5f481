"""What a stated use of a model asks of a device: frames, deadlines, hours on a battery, and heat. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from fedlite.devices.power import compute_energy
from fedlite.errors import FedliteError
from fedlite.units import HOUR_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.devices.estimate import Estimate
    from fedlite.devices.profile import DeviceProfile

_BAND: Final = NormalDist().inv_cdf(0.9)
"""The 80 % band of an estimate reaches so many standard deviations of its logarithm to both sides."""


@dataclass(frozen=True)
class Use:
    """How often a model is asked, and how soon it has to answer.

    Attributes
    ----------
    per_s : float
        Inferences per second while it is used.
    deadline_s : float
        After which an answer is worth nothing; infinite if not told.
    """

    per_s: float = 1.0
    deadline_s: float = math.inf

    def __post_init__(self) -> None:
        for name, value in (("rate", self.per_s), ("deadline", self.deadline_s)):
            if not value > 0:
                raise FedliteError(f"{name}: got {value:g}, expected above 0; leave it out for the default")


@dataclass(frozen=True)
class Duty:
    """What a use comes to on a device.

    Attributes
    ----------
    per_s : float
        The most inferences per second of the cold device.
    sustained_per_s : float
        The same once it is warm; equal where no heat is told.
    busy : float
        Share of the time that the use takes of the warm device; above 1 it does not keep up.
    late : float
        Share of the devices of this kind whose every answer comes after the deadline when they are warm, by the
        band of the latency; all of them if they do not keep up, and none without a deadline.
    hours_to_empty : float
        How long a full battery lasts at this use, or as much of it as the device keeps up with, with the screen off;
        infinite on the mains.
    """

    per_s: float
    sustained_per_s: float
    busy: float
    late: float
    hours_to_empty: float


def duty(
    profile: DeviceProfile,
    latency: Estimate,
    use: Use,
    *,
    waits_s: float = 0.0,
    energy_j: float | None = None,
    flat_out_s: float | None = None,
) -> Duty:
    """Return what a use comes to on a profile whose inference takes `latency` when it is cold.

    A device gets warm if the use keeps it computing for all of its time.

    Parameters
    ----------
    profile : DeviceProfile
    latency : Estimate
    use : Use
    waits_s : float
        How much of the latency is no computing of its own, such as waiting for a server: heat does not lengthen it.
    energy_j : float, optional
        Of one inference above idle; that of computing for the whole latency if not given.
    flat_out_s : float, optional
        How long one takes where the next follows at once; as long as `latency` if not given.
    """
    cold_s = float(latency.value)
    sustained = 1.0 if profile.thermal is None else float(profile.thermal.sustained.value)
    pressed_s = cold_s if flat_out_s is None else flat_out_s
    computes_s = cold_s - waits_s
    warm_s = waits_s + computes_s / sustained
    hot = use.per_s * computes_s >= 1.0
    now_s = warm_s if hot else cold_s
    computing_j = float(compute_energy(profile, latency.scaled(computes_s / cold_s), above_idle=True).value)
    cold_j = computing_j if energy_j is None else energy_j
    return Duty(
        per_s=1.0 / pressed_s,
        sustained_per_s=1.0 / (pressed_s + warm_s - cold_s),
        busy=use.per_s * now_s,
        late=_late(latency, now_s / cold_s, use),
        hours_to_empty=_hours(profile, now_s, cold_j + computing_j * ((1.0 / sustained if hot else 1.0) - 1.0), use),
    )


def hours_by_charge(hours: Sequence[float], charges: Sequence[float]) -> float:
    """Return how long a full battery lasts if what runs follows its charge.

    Parameters
    ----------
    hours : sequence of float
        That a full battery would last in each of the states alone.
    charges : sequence of float
        Share of the battery from which on each holds, falling; the last is 0.
    """
    above = (1.0, *charges[:-1])
    return sum(lasts * (top - least) for lasts, top, least in zip(hours, above, charges, strict=True))


def _late(latency: Estimate, slow: float, use: Use) -> float:
    """Return the share of devices beyond a deadline: lognormal, its median the estimate, by the side of the band."""
    deadline_s, value = use.deadline_s, slow * float(latency.value)
    if math.isinf(deadline_s):
        return 0.0
    if use.per_s * value > 1.0:
        return 1.0  # what waits grows without end
    edge = slow * float(latency.high if deadline_s >= value else latency.low)
    width = abs(math.log(edge / value)) / _BAND
    if not width:
        return float(value > deadline_s)
    return 1.0 - NormalDist().cdf(math.log(deadline_s / value) / width)


def _hours(profile: DeviceProfile, takes_s: float, takes_j: float, use: Use) -> float:
    if profile.battery_j is None:
        return math.inf
    power_w = takes_j * min(use.per_s, 1.0 / takes_s)
    return float(profile.battery_j.value) / (float(profile.idle_w.value) + power_w) / HOUR_S
