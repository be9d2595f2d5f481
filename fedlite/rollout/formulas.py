"""What can be said of a wave in closed form."""

from __future__ import annotations

import math

from scipy.special import bdtrc, ndtr, ndtri

from fedlite.rollout.gates.parameters import check_count, check_number, check_open_share, check_share
from fedlite.rollout.gates.threshold import MOST_DEVICES


def z_power(n: int, baseline: float, effect: float, alpha: float = 0.05) -> float:
    """Return the power of the one-sided z test of two failure rates, n devices per arm.

    Phi(((p1 - p0) sqrt(n) - z_(1-alpha) sqrt(2 p (1 - p))) / sqrt(p0 (1 - p0) + p1 (1 - p1))), p = (p0 + p1) / 2: the
    threshold is pooled under the hypothesis that both are the same, the spread is that of the alternative. Normal
    approximation: at small n and rates the test itself, on whole failures, has another power.

    Parameters
    ----------
    n : int
        Devices of each arm.
    baseline, effect : float
        Failure rates of the held-out and of the treated arm.
    alpha : float
        Chance of a false alarm.

    References
    ----------
    Fleiss, Levin, Paik 2003, "Statistical methods for rates and proportions", section 4.2.
    """
    middle = (baseline + effect) / 2.0
    spread = math.sqrt(baseline * (1.0 - baseline) + effect * (1.0 - effect))
    if spread == 0.0:
        return float(effect > baseline)
    under_null = ndtri(1.0 - alpha) * math.sqrt(2.0 * middle * (1.0 - middle))
    return float(ndtr(((effect - baseline) * math.sqrt(n) - under_null) / spread))


def chance_of_seeing(n: int, class_share: float, rate: float, failures: int = 3) -> float:
    """Return P(at least so many failures of one device class) in a wave drawn from the whole fleet.

    Each of the n devices is of the class with chance `class_share` and then fails with chance `rate`, so their number
    is binomial. No gate sees what does not happen.

    Raises
    ------
    FedliteError
        If a share, a rate or a count is out of its range.
    """
    check_count("n", n, MOST_DEVICES)
    check_share("class_share", class_share)
    check_share("rate", rate)
    check_count("failures", failures, MOST_DEVICES)
    return float(bdtrc(failures - 1, n, class_share * rate)) if failures <= n else 0.0


def accuracy_devices(
    drop: float, *, sd: float, base: float, samples: int, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Return how many devices per arm an accuracy gate needs to see a drop of the mean.

    2 (z_(1-alpha) + z_power)^2 (sd^2 + base (1 - base) / samples) / drop^2: devices differ by `sd`, and each knows its
    own accuracy only from so many labelled samples.

    Parameters
    ----------
    drop : float
        Fall of the mean accuracy, as a share.
    sd : float
        Standard deviation of the true accuracy between devices.
    base : float
        Mean accuracy, in (0, 1).
    samples : int
        Labelled samples per device.
    alpha, power : float
        Chance of a false alarm, and of seeing the drop.

    Raises
    ------
    FedliteError
        If a parameter is out of its range.
    """
    check_number("drop", drop, 0.0, open_end=True)
    check_number("sd", sd, 0.0)
    check_count("samples", samples, MOST_DEVICES)
    for name, value in (("base", base), ("alpha", alpha), ("power", power)):
        check_open_share(name, value)
    variance = sd**2 + base * (1.0 - base) / samples
    quantiles = float(ndtri(1.0 - alpha) + ndtri(power))
    return math.ceil(2.0 * quantiles**2 * variance / drop**2)
