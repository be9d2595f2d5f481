"""Epsilon of a campaign before it runs, and the noise for a target, by how clients are sampled; from dp-accounting.

Every round releases the sum of clipped updates plus Gaussian noise of standard deviation z C. What that is worth
depends on the sampler and on the neighbouring relation as much as on z (`samplers`, `relations`). Where the bound
without amplification is the smaller one, it is stated.

References
----------
Balle, Wang 2018 (Gaussian, exact). Lebeda et al. 2024, arXiv 2405.20769 (samplers are no detail).
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
from fedlite.privacy.relations import RELATIONS, Relation
from fedlite.privacy.samplers import ACCOUNTANTS, SAMPLERS, Draw, Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_NOISE: Final = 1e6

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
        See `samplers`.
    accountant : str, optional
        "pld" or "rdp"; by default the tighter one that the sampler has. Matters only where both can.
    relation : str, optional
        See `relations`; by default the sampler's usual one.
    cap : int, optional
        The most clients of a round, of "truncated-poisson" alone.

    Raises
    ------
    FedliteError
        If a number is out of range, or nobody can account for what is asked.
    """

    rounds: int
    cohort: int = 1
    population: int = 1
    sampling: str = "none"
    accountant: str | None = None
    relation: str | None = None
    cap: int | None = None

    def __post_init__(self) -> None:
        for key, known in (("sampling", SAMPLERS), ("accountant", ACCOUNTANTS), ("relation", RELATIONS)):
            told = getattr(self, key)
            if told is not None and told not in known:
                raise UnknownNameError(key, told, sorted(known))
        _check(self.rounds >= 1, "rounds", self.rounds, "at least 1", "write how many models are released")
        if self.sampling != "none" and not 1 <= self.cohort <= self.population:
            raise FedliteError(
                f"cohort: got {self.cohort} of a population of {self.population}, expected 1 up to the population;"
                " name both to claim amplification by sampling"
            )
        self._check_cap()
        self._check_relation()

    @property
    def sampler(self) -> Sampler:
        """How a round's clients are drawn."""
        return SAMPLERS[self.sampling]

    @property
    def neighbours(self) -> Relation:
        """Which data sets are told apart."""
        return RELATIONS[self.relation or next(iter(self.sampler.relations))]

    @property
    def samples(self) -> bool:
        """Whether somebody is left out of a round at random."""
        return self.sampling != "none" and self.cohort < self.population

    @property
    def accounts(self) -> str:
        """The accountant of the sampled rounds."""
        able = self.sampler.relations[self.neighbours.name]
        return self.accountant if self.accountant in able else able[0]

    def event(self, noise_multiplier: float) -> Any:
        """Return one sampled round as dp-accounting has it."""
        return self.sampler.event(noise_multiplier, Draw(self.population, self.cohort, self.cap), self.neighbours)

    def _check_cap(self) -> None:
        truncated = self.sampling == "truncated-poisson"
        if truncated and self.cap is None:
            raise FedliteError(
                "cap: got nothing with sampling 'truncated-poisson', expected the most clients of a round;"
                f" write for example {min(self.population, math.ceil(1.5 * self.cohort))}"
            )
        if self.cap is not None and not truncated:
            raise FedliteError(
                f"cap: got {self.cap} with sampling {self.sampling!r}, expected none;"
                " leave it out, or write truncated-poisson"
            )
        if self.cap is not None:
            _check(
                self.cohort <= self.cap <= self.population,
                "cap",
                self.cap,
                f"from the expected cohort, {self.cohort}, to the population, {self.population}",
                "raise or lower it",
            )

    def _check_relation(self) -> None:
        able = self.sampler.relations
        if self.neighbours.name not in able:
            raise FedliteError(
                f"relation: got {self.relation!r} with sampling {self.sampling!r}, where a client that is added"
                f" displaces another; expected one of {', '.join(able)}; write {next(iter(able))!r}"
            )
        accountants = able[self.neighbours.name]
        if self.accountant == "rdp" and self.samples and self.accountant not in accountants:
            raise FedliteError(
                f"accountant: got 'rdp' with sampling {self.sampling!r} under {self.neighbours.name}, for which no"
                f" theorem is known here; expected {accountants[0]}; leave it out"
            )


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
    warnings: tuple[str, ...] = ()


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
    _check_delta(delta)
    plain = _without_amplification(noise_multiplier, delta, campaign)
    epsilon, accountant = plain, "exact Gaussian composition"
    if campaign.samples:
        sampled = _sampled(noise_multiplier, delta, campaign, _INTERVAL)
        # Both bounds hold, so the smaller one does.
        if sampled < plain:
            epsilon, accountant = sampled, campaign.accounts.upper()
    return Guarantee(
        epsilon,
        delta,
        noise_multiplier,
        accountant,
        campaign.neighbours.name,
        _assumptions(campaign),
        plain,
        _warnings(delta, campaign),
    )


def noise_multiplier_for(epsilon: float, delta: float, campaign: Campaign) -> float:
    """Return the least noise multiplier, within 1e-6, with which a campaign spends epsilon (see `epsilon_of`).

    Raises
    ------
    FedliteError
        If epsilon or delta is out of range.
    """
    _check(0 < epsilon < math.inf, "epsilon", epsilon, "above 0 and finite", "such as 8")
    _check_delta(delta)
    exact = _exact_noise(epsilon, delta, campaign)
    if not campaign.samples:
        return exact
    found = _search(epsilon, delta, campaign, _bracket(epsilon, delta, campaign, exact))
    return exact if found is None else min(found, exact)


def _bracket(epsilon: float, delta: float, campaign: Campaign, exact: float) -> tuple[float, float]:
    """Return bounds of the noise that is looked for."""
    widest = _LEAST_NOISE, 2 * exact
    if campaign.accounts == "rdp":
        return widest
    # Loss distributions of little noise take minutes. Renyi accounting of plain Poisson sampling is quick and less than
    # twice too careful; it is never tighter, so that for plain sampling its answer is where the search ends.
    plain = replace(campaign, sampling="poisson", relation="add-remove", accountant="rdp", cap=None)
    quick = _search(epsilon, delta, plain, widest)
    if quick is None:
        return widest
    same = campaign.sampling == "poisson" and campaign.neighbours.sensitivity == 1
    return quick / 2, quick if same else widest[1]


def _search(epsilon: float, delta: float, campaign: Campaign, bracket: tuple[float, float]) -> float | None:
    """Return the noise multiplier between two bounds that spends epsilon; None if it lies outside."""
    try:
        with _quiet():
            found = mechanism_calibration.calibrate_dp_mechanism(
                lambda: _accountant(campaign, _COARSE_INTERVAL),
                lambda noise: _rounds(noise, campaign),
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
    return sigma * math.sqrt(campaign.rounds) * campaign.neighbours.sensitivity


def _without_amplification(noise_multiplier: float, delta: float, campaign: Campaign) -> float:
    combined = noise_multiplier / campaign.neighbours.sensitivity / math.sqrt(campaign.rounds)
    return float(gaussian_mechanism.get_epsilon_gaussian(combined, delta))


def _sampled(noise_multiplier: float, delta: float, campaign: Campaign, interval: float) -> float:
    with _quiet():
        accountant = _accountant(campaign, interval).compose(_rounds(noise_multiplier, campaign))
        return float(accountant.get_epsilon(delta))


def _accountant(campaign: Campaign, interval: float) -> Any:
    relation = campaign.neighbours.of_library
    if campaign.sampling == "fixed":
        # Its theorem is about replacing; what that moves is in the event.
        return RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_ONE)
    if campaign.accounts == "rdp":
        return RdpAccountant(neighboring_relation=relation)
    return PLDAccountant(neighboring_relation=relation, value_discretization_interval=interval)


def _rounds(noise_multiplier: float, campaign: Campaign) -> Any:
    return dp_event.SelfComposedDpEvent(campaign.event(noise_multiplier), campaign.rounds)


def _assumptions(campaign: Campaign) -> tuple[str, ...]:
    return (
        "The unit is one client with all its data; each contributes at most one clipped update to a round.",
        f"Neighbours: {campaign.neighbours.says}.",
        campaign.sampler.assumption,
        f"All {campaign.rounds} models are released; metrics, tuning and evaluation are not covered.",
        "The whole planned cohort replies with equal weights; fewer replies mean less noise and a greater epsilon.",
        "The noise of a simulation is seeded: the statement is about the plan, not about a simulated model.",
    )


def _warnings(delta: float, campaign: Campaign) -> tuple[str, ...]:
    if campaign.sampling == "none" or delta * campaign.population < 1:
        return ()
    return (
        (
            f"delta {delta:g} is no smaller than one over the population of {campaign.population}:"
            " it allows to publish one client's data outright"
        ),
    )


def _check_delta(delta: float) -> None:
    _check(0 < delta < 1, "delta", delta, "between 0 and 1", "below one over the population, such as 1e-6")


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
