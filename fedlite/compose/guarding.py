"""A scenario's central privacy as its server keeps it: whom it may draw, how much noise, and when the budget ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlite.errors import FedliteError
from fedlite.flower.private_mean import Guard
from fedlite.privacy.adaptive import AdaptiveNorm, update_noise
from fedlite.privacy.releases import Terms, noise_for, releases_within
from fedlite.privacy.samplers import Draw
from fedlite.rng import seed_of
from fedlite.scenario.fleet import Always
from fedlite.scenario.privacy import AdaptiveClipping, FixedClipping

if TYPE_CHECKING:
    from fedlite.fleet.state import Fleet
    from fedlite.scenario.schema import Scenario


def terms_of(scenario: Scenario, clients: int, fleet: Fleet) -> Terms | None:
    """Return under which terms a scenario releases models; None if its server adds no noise.

    Parameters
    ----------
    scenario : Scenario
    clients : int
        Owners of data; device d holds that of owner d % clients.
    fleet : Fleet

    Raises
    ------
    FedliteError
        If a round wants more owners than there are, or the budget is below one release.
    """
    privacy: Any = scenario.privacy
    if not privacy.central:
        return None
    population = len(np.unique(fleet.ids[~fleet.excluded] % clients))
    sampled = isinstance(privacy, FixedClipping | AdaptiveClipping)
    sampling = privacy.sampling if sampled else "none"
    apart = sampling != "none" or not sampled
    if apart and scenario.asked > population:
        raise FedliteError(
            f"training.clients_per_round: got {scenario.cohort}, of which {scenario.asked} are asked, with owners of"
            f" data that are drawn apart (privacy), expected at most the {population} that have a device; lower it"
        )
    cap = min(privacy.cap or math.ceil(1.5 * scenario.cohort), population) if sampling == "truncated-poisson" else None
    terms = Terms(
        privacy.noise_multiplier or 0.0,
        privacy.delta,
        scenario.cohort,
        population,
        sampling,
        privacy.relation if sampled else None,
        cap,
        obstacles(scenario),
        None if sampled else _longest(privacy, population, scenario.asked),
    )
    if privacy.target_epsilon is not None:
        noise = noise_for(terms, privacy.target_epsilon, privacy.delta, scenario.training.rounds)
        terms = replace(terms, noise_multiplier=noise)
    return terms


def guard_of(scenario: Scenario, terms: Terms, clients: int, fleet: Fleet) -> Guard:
    """Return what the server does to keep the terms.

    Raises
    ------
    FedliteError
        If the budget is below one release.
    """
    privacy: Any = scenario.privacy
    adapts = None
    if isinstance(privacy, AdaptiveClipping):
        count_std = privacy.clipped_count_stddev or scenario.cohort / 20
        adapts = AdaptiveNorm(privacy.target_clipped_quantile, privacy.clip_norm_lr, count_std)
    z = terms.noise_multiplier
    return Guard(
        noise_multiplier=z,
        sum_noise=z if adapts is None else update_noise(z, adapts.count_std),
        norm=privacy.clipping_norm if adapts is None else privacy.initial_clipping_norm,
        on_client=privacy.clips_on_client,
        sampling=terms.sampling,
        draw=Draw(terms.population, terms.cohort, terms.cap),
        owner_of=fleet.ids % clients,
        askable=~fleet.excluded,
        seed=seed_of(scenario.seed, "privacy"),
        adapts=adapts,
        limit=_limit(terms, privacy),
        bare_limit=_bare_limit(terms, privacy),
        longest=terms.longest,
    )


def obstacles(scenario: Scenario) -> tuple[str, ...]:
    """Return what may decide who takes part beside the sampler: with any of it, no amplification is claimed."""
    found = []
    if scenario.protocol is not None:
        found.append("devices check in when they like (fleet.protocol)")
    if not isinstance(scenario.fleet.availability, Always):
        found.append("devices take part when they are available (fleet.availability)")
    if scenario.deadline_s is not None:
        found.append("a deadline leaves out slow devices (training.deadline)")
    if scenario.over_select > 1:
        found.append("rounds close with the fastest (training.over_select)")
    return tuple(found)


def _bare_limit(terms: Terms, privacy: Any) -> int | None:
    """Return how many it allows once nothing may be claimed of the sampler."""
    if privacy.max_epsilon is None or terms.sampling == "none":
        return None
    return releases_within(terms.without_amplification(), privacy.max_epsilon, privacy.delta)


def _longest(privacy: Any, population: int, asked: int) -> int:
    """Return the rounds of a tree in which nobody is asked twice."""
    most = population // asked
    if privacy.restart_every is not None and privacy.restart_every > most:
        raise FedliteError(
            f"privacy.restart_every: got {privacy.restart_every}, expected at most {most}: {asked} of {population}"
            " owners are asked in a round, and nobody twice in a tree; lower it, or training.clients_per_round"
        )
    return privacy.restart_every or max(1, most // 2)


def _limit(terms: Terms, privacy: Any) -> int | None:
    """Return how many releases the budget allows."""
    if privacy.max_epsilon is None:
        return None
    limit = releases_within(terms, privacy.max_epsilon, privacy.delta)
    if limit < 1:
        raise FedliteError(
            f"privacy.max_epsilon: got {privacy.max_epsilon:g}, which is less than one release spends with"
            f" noise_multiplier {terms.noise_multiplier:g}; raise either"
        )
    return limit
