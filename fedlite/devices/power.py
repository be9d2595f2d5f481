"""Power of a device at work, with the band of how its numbers are known.

Power is nearly constant while a processor computes (within 5 % over nets and batches in every published series), so
energy is power times time and most of its error is the error of the time.

References
----------
MNN on-device training suite (Meizu 16T at 1.71 GHz: 1.90 W, sd 0.11 W over five nets and five batch sizes; energy =
power x time within 4.9 %). MLPerf Tiny v0.7 to v1.2 (energy = power x time within 5.2 %, leave one workload out;
hook-ups of one board differ by 1.7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fedlite.devices.estimate import Calibration, Estimate, Number
from fedlite.devices.profile import DeviceProfile, Kind, Sourced, Tier

BANDS: Final[dict[Kind, tuple[float, float]]] = {
    Kind.MEASURED: (0.90, 1.10),
    Kind.DATASHEET: (0.70, 1.30),
    Kind.ASSUMED: (0.60, 1.60),
}
"""Kind -> factors of the 80 % band. Measured: sd 0.11 of 1.90 W, times 1.28, and the supply; the others are judged."""

_MCU_MEASURED: Final = (0.90, 1.70)
"""A chip's rail was measured at its best supply; another hook-up of the same board took 1.7 times as much."""


@dataclass(frozen=True)
class Split:
    """Where a busy device's power goes, in watts."""

    base_w: float
    """Everything that also runs when idle."""
    compute_w: float
    """What computing adds."""


def split(profile: DeviceProfile) -> Split:
    """Return the power of a busy device by component."""
    return Split(profile.idle_w.value, max(profile.active_w.value - profile.idle_w.value, 0.0))


def at_full_clock(power: Sourced, clock_hz: float, measured_hz: float) -> Sourced:
    """Return a power measured at a lower clock as it is at the clock that times are predicted for.

    It grows with the clock's square: frequency times about the voltage squared, less the share that leaks or idles.
    """
    value = power.value * (clock_hz / measured_hz) ** _CLOCK_EXPONENT
    return replace(power, value=value, text=f"{value:.3g} W at full clock ({power.text} {power.kind})")


_CLOCK_EXPONENT: Final = 2.0
_CLOCK_EXPONENT_OFF: Final = 0.8
"""The exponent is judged to be off by so much, one way or the other (1 without voltage scaling, 3 with all of it)."""


def active_power(profile: DeviceProfile) -> Estimate:
    """Return the power of the whole device while it computes, with its band."""
    low, high = _band(profile, profile.active_w)
    return Estimate.within(profile.active_w.value, low, high, _class(profile.active_w))


def compute_energy(profile: DeviceProfile, time: Estimate, *, above_idle: bool = False) -> Estimate:
    """Return the energy of computing for `time`.

    Parameters
    ----------
    time : Estimate
        Seconds, scalar or (N,) array, with its band.
    above_idle : bool
        Only what the job adds to the device's idle draw.

    Notes
    -----
    Errors of power and time are taken as independent: the relative half-widths add in quadrature, either side apart.
    """
    watts = split(profile).compute_w if above_idle else profile.active_w.value
    low, high = _band(profile, profile.active_w)
    value = time.value * watts
    below = ((1.0 - low) ** 2 + _relative(time.value, time.low) ** 2) ** 0.5
    above = ((high - 1.0) ** 2 + _relative(time.value, time.high) ** 2) ** 0.5
    order = list(Calibration)
    worse = max(time.calibration, _class(profile.active_w), key=order.index)
    return Estimate(value, value * np.maximum(0.0, 1.0 - below), value * (1.0 + above), worse)


def _relative(value: Number, edge: Number) -> Number:
    """Return |edge - value| / value, 0 where the value is 0."""
    whole = np.asarray(value, dtype=np.float64)
    return np.abs(edge - whole) / np.where(whole > 0.0, whole, 1.0)


def _band(profile: DeviceProfile, number: Sourced) -> tuple[float, float]:
    if number.kind is Kind.MEASURED and profile.tier in (Tier.MCU, Tier.NPU):
        return _MCU_MEASURED
    low, high = BANDS[number.kind]
    if profile.active_clock_hz is None:
        return low, high
    reach = _CLOCK_EXPONENT_OFF * abs(float(np.log(profile.clock_hz.value / profile.active_clock_hz.value)))
    return float(np.exp(-np.hypot(np.log(low), reach))), float(np.exp(np.hypot(np.log(high), reach)))


def _class(number: Sourced) -> Calibration:
    return {
        Kind.MEASURED: Calibration.MEASURED,
        Kind.DATASHEET: Calibration.SPEC_SHEET,
        Kind.ASSUMED: Calibration.ASSUMED,
    }[number.kind]
