"""What a gate can see in a wave, before any rehearsal: power, false aborts, the least effect, the wave it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from fedlite.errors import FedliteError
from fedlite.rollout.formulas import z_power
from fedlite.rollout.gates.direction import sign_of
from fedlite.rollout.gates.mann_whitney import MannWhitney
from fedlite.rollout.gates.msprt import Msprt
from fedlite.rollout.gates.parameters import check_number, check_open_share, check_share
from fedlite.rollout.gates.threshold import MOST_DEVICES
from fedlite.rollout.gates.two_arms import TwoArms
from fedlite.rollout.recursion import first_trips, limits
from fedlite.rollout.simulated import first_looks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fedlite.rollout.gates.evidence import Gate
    from fedlite.rollout.wave import Wave

How = Literal["formula", "recursion", "simulation"]

_SEARCHED_WAVES: Final = 1_000
"""Simulated per step of a search: its answer is as coarse as its last steps."""
_MOST_SAMPLED: Final = 10_000
"""Devices per arm of the largest wave that is drawn device by device in a search."""
_MOST_RANKED: Final = 20_000
"""The same of all looks together, where they have a schedule."""
_FARTHEST_SD: Final = 64.0
"""Regression of a mean beyond which no least effect is looked for, in standard deviations."""


@dataclass(frozen=True)
class Operating:
    """How a gate does on a wave under one effect.

    Parameters
    ----------
    power : float
        P(it trips at some look).
    standard_error : float
        Of the power; 0 where it was not simulated.
    median_n : int or None
        Devices of the treated arm at the first look that trips, median over the waves that trip; None if none does.
    how : str
        "formula", "recursion" (both exact up to rounding, the formula for normal differences) or "simulation".
    """

    power: float
    standard_error: float
    median_n: int | None
    how: How


def how(gate: Gate, wave: Wave) -> How:
    """Return by what means the gate's power on this wave is found."""
    if wave.spare:
        return "simulation"
    if gate.reads == "failures" and not gate.two_arms:
        return "recursion"
    one_look = not wave.control and len(wave.seen_at(gate)) == 1
    return "formula" if isinstance(gate, TwoArms) and one_look else "simulation"


def operating(gate: Gate, wave: Wave, effect: float) -> Operating:
    """Return how often a gate trips on a wave, and when, if affected devices have this failure rate or mean.

    With the effect equal to the baseline that is the chance of a false abort.

    Raises
    ------
    FedliteError
        If the effect is out of its range, or the gate and the wave are not of the same kind of metric.
    """
    _check(gate, wave)
    if wave.sd is None:
        check_share("effect", effect, or_none=True)
    else:
        check_number("effect", effect, -math.inf)
    return _finder(gate, wave)(effect)


def minimum_detectable_effect(gate: Gate, wave: Wave, power: float = 0.8) -> float | None:
    """Return the least effect on affected devices that the gate sees with this power, None if there is none.

    A failure rate above the baseline, or a mean on the side of it that the gate calls bad. Found by bisection: to a
    millionth of the range where power is exact, else to the noise of 1,000 simulated waves.

    Raises
    ------
    FedliteError
        If the power is not in (0, 1), or the gate and the wave are not of the same kind of metric.
    """
    _check(gate, wave)
    check_open_share("power", power)
    steps, wave = _searched(gate, wave)
    find = _finder(gate, wave)
    low, high = wave.baseline, 1.0
    if wave.sd is not None:
        sign = sign_of(gate.direction) if isinstance(gate, MannWhitney | Msprt) else 1.0
        reach = wave.sd / 64.0
        while find(wave.baseline + sign * reach).power < power:
            if reach >= _FARTHEST_SD * wave.sd:
                return None
            reach *= 2.0
        high = wave.baseline + sign * reach
    elif find(high).power < power:
        return None
    for _ in range(steps):
        middle = (low + high) / 2.0
        low, high = (low, middle) if find(middle).power >= power else (middle, high)
    return high


def devices_needed(gate: Gate, wave: Wave, effect: float, power: float = 0.8) -> int | None:
    """Return how many devices a wave needs so that the gate sees this effect with this power.

    Treated ones, beside a control arm that is as large, or in the proportion of the wave's own. Doubled from 10 until
    it suffices, then bisected; None beyond `most_devices`. A gate for one look gains and loses a little power from one
    device to the next, for failures are whole: the answer suffices, a smaller one might too.

    Raises
    ------
    FedliteError
        If a parameter is out of its range, or the gate and the wave are not of the same kind of metric.
    """
    operating(gate, wave, effect)
    check_open_share("power", power)
    _, wave = _searched(gate, wave)
    most = most_devices(gate)
    if gate.reads == "samples" and wave.schedule:
        most = min(most, wave.n * _MOST_RANKED // sum(wave.schedule))

    def suffices(n: int) -> bool:
        return _finder(gate, wave.of(n))(effect).power >= power

    low, high = 0, 10
    while not suffices(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > max(1, high // 500):
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def most_devices(gate: Gate) -> int:
    """Return the largest wave, in devices per arm, that `devices_needed` looks at."""
    return _MOST_SAMPLED if gate.reads == "samples" else MOST_DEVICES


def advice(gate: Gate, wave: Wave, effect: float, power: float = 0.8) -> str:
    """Return a sentence: what the wave's gate sees of this effect, and how many devices it would need.

    Raises
    ------
    FedliteError
        If a parameter is out of its range, or the gate and the wave are not of the same kind of metric.
    """
    sees = operating(gate, wave, effect).power
    shown = f"{effect:g}" if wave.sd is not None else f"a failure rate of {100 * effect:g} %"
    where = "" if wave.class_share == 1.0 else f" in a class of {100 * wave.class_share:g} %"
    told = f"a wave of {wave.n} devices sees {shown}{where} with probability {sees:.2f}"
    if sees >= power:
        return f"{told}: large enough"
    needed = devices_needed(gate, wave, effect, power)
    wants = f"more than {most_devices(gate)}" if needed is None else f"about {needed}"
    return f"{told}; for {power:.2f} it needs {wants}"


def _check(gate: Gate, wave: Wave) -> None:
    if gate.reads == "failures" and wave.sd is not None:
        raise FedliteError(f"sd: got {wave.sd:g} with a gate that counts failures, expected none; leave it out")
    if gate.reads != "failures" and wave.sd is None:
        raise FedliteError(
            "sd: got none with a gate of a continuous metric, expected the standard deviation between devices; tell it"
        )


def _searched(gate: Gate, wave: Wave) -> tuple[int, Wave]:
    """Return the steps of a bisection, and the wave with no more replications than a search takes."""
    if how(gate, wave) != "simulation":
        return 20, wave
    return 10, replace(wave, replications=min(wave.replications, _SEARCHED_WAVES))


def _finder(gate: Gate, wave: Wave) -> Callable[[float], Operating]:
    """Return the function from effect to what the gate does; what does not depend on the effect is done once."""
    looks, means = wave.seen_at(gate), how(gate, wave)
    if means == "recursion":
        tripping = limits(gate, looks)
        return lambda effect: _of_chances(first_trips(tripping, looks, wave.rate(effect)), looks)
    if isinstance(gate, TwoArms) and means == "formula":
        return lambda effect: _of_formula(gate, wave, effect)
    return lambda effect: _of_looks(first_looks(gate, wave, effect), looks)


def _of_chances(chances: NDArray[np.float64], looks: NDArray[np.int64]) -> Operating:
    so_far = np.cumsum(chances)
    power = min(float(so_far[-1]), 1.0)
    median = int(looks[np.searchsorted(so_far, power / 2.0)]) if power > 0.0 else None
    return Operating(power, 0.0, median, "recursion")


def _of_formula(gate: TwoArms, wave: Wave, effect: float) -> Operating:
    if wave.n < gate.min_executed:
        return Operating(0.0, 0.0, None, "formula")
    return Operating(z_power(wave.n, wave.baseline, wave.rate(effect), gate.alpha), 0.0, wave.n, "formula")


def _of_looks(first: NDArray[np.int64], looks: NDArray[np.int64]) -> Operating:
    tripped = first >= 0
    power = float(tripped.mean())
    median = int(np.median(looks[first[tripped]])) if tripped.any() else None
    return Operating(power, math.sqrt(power * (1.0 - power) / len(first)), median, "simulation")
