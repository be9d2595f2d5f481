"""Epsilon of a campaign before it runs, and the noise for a target, by how clients are sampled; from dp-accounting.

Every round releases the sum of clipped updates plus Gaussian noise of standard deviation z C. What that is worth
depends on the sampler as much as on z:

========  ========================================================  ==========================  ====================
sampling  who takes part in a round                                 neighbouring relation       accountant
========  ========================================================  ==========================  ====================
none      whoever the devices' state allows; nothing is claimed     zero-out, sensitivity C     exact (Gaussian)
poisson   each client alone, probability cohort / population        add or remove, C            PLD (or RDP)
fixed     a uniform cohort of fixed size, without replacement       replace one, 2 C            RDP with z / 2
========  ========================================================  ==========================  ====================

Where the bound without amplification is the smaller one, it is stated.

References
----------
Mironov, Talwar, Zhang 2019 (Poisson, RDP). Wang, Balle, Kasiviswanathan 2019 (without replacement, RDP). Balle, Wang
2018 (Gaussian, exact). Doroshenko et al. 2022 (PLD). Lebeda et al. 2024, arXiv 2405.20769 (samplers are no detail).
"""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from dp_accounting import dp_event, gaussian_mechanism, mechanism_calibration
from dp_accounting.pld import PLDAccountant
from dp_accounting.privacy_accountant import NeighboringRelation
from dp_accounting.rdp import RdpAccountant

from fedlite.errors import FedliteError, UnknownNameError
from fedlite.privacy.accounting import LEAST_NOISE

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_NOISE: Final = 1e6
SAMPLINGS: Final = ("none", "poisson", "fixed")
ACCOUNTANTS: Final = ("pld", "rdp")

_INTERVAL: Final = 1e-4
"""Discretisation of privacy losses; the reference values are for this one."""
_COARSE_INTERVAL: Final = 1e-3
"""While searching for a noise multiplier: faster, and pessimistic, so the noise is never too little."""
_LEAST_NOISE: Final = 0.05
_NOISE_TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class Campaign:
    """How often what is released.

    Attributes
    ----------
    rounds : int
    cohort : int
        Clients per round (Poisson: expected).
    population : int
        Clients there are.
    sampling : str
        "none", "poisson" or "fixed".
    accountant : str
        "pld" or "rdp"; matters for Poisson sampling only.

    Raises
    ------
    FedliteError
        If a number is out of range.
    """

    rounds: int
    cohort: int = 1
    population: int = 1
    sampling: str = "none"
    accountant: str = "pld"

    def __post_init__(self) -> None:
        if self.sampling not in SAMPLINGS:
            raise UnknownNameError("sampling", self.sampling, list(SAMPLINGS))
        if self.accountant not in ACCOUNTANTS:
            raise UnknownNameError("accountant", self.accountant, list(ACCOUNTANTS))
        if self.rounds < 1:
            raise FedliteError(f"rounds: got {self.rounds}, expected at least 1; write how many models are released")
        if self.sampling != "none" and not 1 <= self.cohort <= self.population:
            raise FedliteError(
                f"cohort: got {self.cohort} of a population of {self.population}, expected 1 up to the population;"
                " name both to claim amplification by sampling"
            )

    @property
    def samples(self) -> bool:
        """Whether somebody is left out of a round at random."""
        return self.sampling != "none" and self.cohort < self.population


@dataclass(frozen=True)
class Guarantee:
    """An (epsilon, delta) statement with everything that it rests on."""

    epsilon: float
    delta: float
    noise_multiplier: float
    accountant: str
    relation: str
    assumptions: tuple[str, ...]
    epsilon_without_amplification: float
    """Under the same neighbouring relation, if the sampler were not what it is said to be."""


def epsilon_of(noise_multiplier: float, delta: float, campaign: Campaign) -> Guarantee:
    """Return what a campaign spends.

    Parameters
    ----------
    noise_multiplier : float
        z: standard deviation of the noise on the sum of clipped updates, relative to the clipping norm C.
    delta : float
    campaign : Campaign

    Raises
    ------
    FedliteError
        If the noise multiplier or delta is out of range.
    """
    sound = LEAST_NOISE <= noise_multiplier <= MOST_NOISE
    _check(
        sound,
        "noise-multiplier",
        noise_multiplier,
        f"{LEAST_NOISE:g} to {MOST_NOISE:g}",
        "beyond lies no guarantee or no use",
    )
    _check(0 < delta < 1, "delta", delta, "between 0 and 1", "below one over the population, such as 1e-6")
    plain = _without_amplification(noise_multiplier, delta, campaign)
    epsilon, accountant = plain, "exact Gaussian composition"
    if campaign.samples:
        sampled = _sampled(noise_multiplier, delta, campaign, _INTERVAL)
        # Both bounds hold, so the smaller one does.
        if sampled < plain:
            epsilon = sampled
            accountant = "PLD" if campaign.sampling == "poisson" and campaign.accountant == "pld" else "RDP"
    relation = _RELATIONS[campaign.sampling]
    return Guarantee(epsilon, delta, noise_multiplier, accountant, relation, _assumptions(campaign), plain)


def noise_multiplier_for(epsilon: float, delta: float, campaign: Campaign) -> float:
    """Return the least noise multiplier, within 1e-6, with which a campaign spends epsilon (see `epsilon_of`).

    Raises
    ------
    FedliteError
        If epsilon or delta is out of range.
    """
    _check(0 < epsilon < math.inf, "epsilon", epsilon, "above 0 and finite", "such as 8")
    _check(0 < delta < 1, "delta", delta, "between 0 and 1", "below one over the population, such as 1e-6")
    exact = _exact_noise(epsilon, delta, campaign)
    if not campaign.samples:
        return exact
    # Renyi accounting is quick and never tighter, so its answer is where the slower search ends.
    quick = _search(epsilon, delta, replace(campaign, accountant="rdp"), (_LEAST_NOISE, 2 * exact)) or exact
    if campaign.sampling == "fixed" or campaign.accountant == "rdp":
        return min(quick, exact)
    return min(_search(epsilon, delta, campaign, (quick / 2, quick)) or quick, exact)


def _search(epsilon: float, delta: float, campaign: Campaign, bracket: tuple[float, float]) -> float | None:
    """Return the noise multiplier between two bounds that spends epsilon; None if it lies outside."""
    try:
        with _quiet():
            found = mechanism_calibration.calibrate_dp_mechanism(
                lambda: _accountant(campaign, _COARSE_INTERVAL),
                lambda noise: _event(noise, campaign),
                epsilon,
                delta,
                bracket_interval=mechanism_calibration.ExplicitBracketInterval(*bracket),
                tol=_NOISE_TOLERANCE,
            )
    except ValueError:  # dp-accounting's word for bounds that the answer does not lie between
        return None
    return float(found)


def _exact_noise(epsilon: float, delta: float, campaign: Campaign) -> float:
    sigma = float(gaussian_mechanism.get_sigma_gaussian(epsilon, delta))
    return sigma * math.sqrt(campaign.rounds) * _sensitivity(campaign)


def _sensitivity(campaign: Campaign) -> float:
    """Return by how many clipping norms one client can move a round's sum."""
    return 2.0 if campaign.sampling == "fixed" else 1.0


def _without_amplification(noise_multiplier: float, delta: float, campaign: Campaign) -> float:
    combined = noise_multiplier / _sensitivity(campaign) / math.sqrt(campaign.rounds)
    return float(gaussian_mechanism.get_epsilon_gaussian(combined, delta))


def _sampled(noise_multiplier: float, delta: float, campaign: Campaign, interval: float) -> float:
    with _quiet():
        accountant = _accountant(campaign, interval).compose(_event(noise_multiplier, campaign))
        return float(accountant.get_epsilon(delta))


def _accountant(campaign: Campaign, interval: float) -> Any:
    if campaign.sampling == "fixed":
        return RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_ONE)
    relation = NeighboringRelation.ADD_OR_REMOVE_ONE
    if campaign.accountant == "rdp":
        return RdpAccountant(neighboring_relation=relation)
    return PLDAccountant(neighboring_relation=relation, value_discretization_interval=interval)


def _event(noise_multiplier: float, campaign: Campaign) -> Any:
    noise = dp_event.GaussianDpEvent(noise_multiplier / _sensitivity(campaign))
    if campaign.sampling == "fixed":
        one: Any = dp_event.SampledWithoutReplacementDpEvent(campaign.population, campaign.cohort, noise)
    else:
        one = dp_event.PoissonSampledDpEvent(campaign.cohort / campaign.population, noise)
    return dp_event.SelfComposedDpEvent(one, campaign.rounds)


_RELATIONS: Final = {
    "none": "zero-out: one client's update replaced by nothing, cohorts unchanged (sensitivity C)",
    "poisson": "add or remove one client (sensitivity C)",
    "fixed": "replace one client by another (sensitivity 2 C, so z counts half)",
}

_SAMPLERS: Final = {
    "none": "No amplification by sampling is claimed: who takes part may depend on the devices.",
    "poisson": "Every round draws every client independently with the same probability, whatever its battery, network"
    " or charger; noise is scaled by the expected cohort, and empty rounds release noise too.",
    "fixed": "Every round draws its cohort uniformly without replacement from the whole population, whatever the"
    " devices' state; over-selection, deadlines and drop-outs break this.",
}


def _assumptions(campaign: Campaign) -> tuple[str, ...]:
    return (
        "The unit is one client with all its data; each contributes at most one clipped update to a round.",
        _SAMPLERS[campaign.sampling],
        f"All {campaign.rounds} models are released; metrics, tuning and evaluation are not covered.",
        "The whole planned cohort replies with equal weights; fewer replies mean less noise and a greater epsilon.",
        "The noise of a simulation is seeded: the statement is about the plan, not about a simulated model.",
    )


def _check(holds: bool, key: str, got: float, expected: str, remedy: str) -> None:  # noqa: FBT001 -- a condition
    if not holds:
        raise FedliteError(f"privacy: {key}: got {got}, expected {expected}; {remedy}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dp-accounting's remarks about orders that it leaves out away from people; the result does not need them."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
