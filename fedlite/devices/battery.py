"""Charge of batteries over time: idle drain, charging, and who pays for a job. Vectorised pure functions in joules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Number = float | Floats
Flags = bool | NDArray[np.bool_]


def step(
    charge_j: Number, capacity_j: Number, plugged: Flags, idle_w: Number, charge_w: Number, dt_s: Number
) -> Floats:
    """Return the charge after `dt_s` without a job.

    Plugged devices gain `charge_w` until full (mains feed the device itself), others lose `idle_w` until empty.
    Constant power, no taper near full: two steps equal one step of their sum.

    Parameters
    ----------
    charge_j, capacity_j : float or (N,)
        Energy stored and energy stored when full.
    plugged : bool or (N,)
        Whether the device is on a charger during the whole step.
    idle_w, charge_w, dt_s : float or (N,)
        Drain when idle, power into the battery on the charger, length of the step.
    """
    gain_w = np.where(plugged, charge_w, -np.asarray(idle_w, dtype=np.float64))
    return np.clip(charge_j + gain_w * dt_s, 0.0, capacity_j)


def split(energy_j: Number, plugged: Flags, *, has_battery: Flags = True) -> tuple[Floats, Floats]:
    """Return (from the battery, from the mains): a plugged device and one without battery draw on the mains."""
    energy = np.asarray(energy_j, dtype=np.float64)
    on_battery = ~np.asarray(plugged, dtype=np.bool_) & np.asarray(has_battery, dtype=np.bool_)
    from_battery = np.where(on_battery, energy, 0.0)
    return from_battery, energy - from_battery


def drain(charge_j: Number, energy_j: Number) -> Floats:
    """Return the charge after `energy_j` was drawn, never below empty."""
    return np.maximum(np.asarray(charge_j, dtype=np.float64) - energy_j, 0.0)


def lasts_s(charge_j: Number, floor_j: Number, power_w: Number) -> Floats:
    """Return how long the battery feeds `power_w` before it reaches `floor_j`: 0 if already there, inf at no power."""
    spare = np.maximum(np.asarray(charge_j, dtype=np.float64) - floor_j, 0.0)
    power = np.asarray(power_w, dtype=np.float64)
    return np.where(power > 0, spare / np.where(power > 0, power, 1.0), np.inf)
