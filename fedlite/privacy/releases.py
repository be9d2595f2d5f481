"""What a run published of its clients, release by release, and what that has cost.

A release is the sum of clipped updates of one round, one voice per owner of data, with Gaussian noise of standard
deviation z C, over a number of owners that was fixed beforehand. Who is missing makes the sum smaller and the noise no
less: z is what was planned, whoever replied. What an epsilon needs beside it is who was drawn, and whether chance alone
decided who took part.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from fedlite.privacy import tree
from fedlite.privacy.accounting import LEAST_NOISE
from fedlite.privacy.planned import Campaign, epsilon_of, noise_multiplier_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.privacy.planned import Guarantee

MOST_RELEASES: Final = 1_000_000
"""A budget that lasts longer than this is none."""


@dataclass(frozen=True)
class Release:
    """One noisy sum.

    Attributes
    ----------
    round_ : int
    noise_multiplier : float
        z of all that was released together, relative to what one owner can move.
    clipping_norm : float
    drawn : int
        Owners that chance, or the server, picked.
    replied : int
        Owners whose updates are in the sum.
    tree : int
        The tree whose noise it has, where it has such.
    """

    round_: int
    noise_multiplier: float
    clipping_norm: float
    drawn: int
    replied: int
    tree: int = 0


@dataclass(frozen=True)
class Terms:
    """Under which terms a run releases.

    Attributes
    ----------
    noise_multiplier : float
    delta : float, optional
        Without it no epsilon is stated.
    cohort, population : int
        Owners of a round (Poisson: expected), and owners with a device that may be asked.
    sampling : str
    relation : str, optional
    cap : int, optional
    obstacles : tuple of str
        Why participation is not known to be the sampler's alone, known before the run.
    longest : int, optional
        Most rounds of a tree, where the noise is that of trees.
    """

    noise_multiplier: float
    delta: float | None
    cohort: int
    population: int
    sampling: str = "none"
    relation: str | None = None
    cap: int | None = None
    obstacles: tuple[str, ...] = ()
    longest: int | None = None

    def campaign(self, releases: int) -> Campaign:
        """Return so many releases as planned."""
        return Campaign(releases, self.cohort, self.population, self.sampling, relation=self.relation, cap=self.cap)

    def without_amplification(self) -> Terms:
        """Return the same under the same relation, with nothing claimed of the sampler."""
        relation = self.relation or self.campaign(1).neighbours.name
        return replace(self, sampling="none", relation=relation, cap=None)

    def broken(self, releases: Sequence[Release]) -> tuple[str, ...]:
        """Return everything for which no amplification may be claimed, of what was planned and of what happened."""
        if self.sampling == "none":
            return ()
        silent = [release.round_ for release in releases if release.replied < release.drawn]
        if not silent:
            return self.obstacles
        happened = (
            f"in {len(silent)} of {len(releases)} rounds, first in round {silent[0]}, owners that were drawn did not"
            " take part, for reasons that may have to do with their devices"
        )
        return (*self.obstacles, happened)


def spent(terms: Terms, releases: Sequence[Release], delta: float) -> Guarantee:
    """Return what the releases, one or more, have cost at a delta; epsilon is infinite without noise."""
    claimed = terms.without_amplification() if terms.broken(releases) else terms
    if terms.noise_multiplier < LEAST_NOISE:
        found = epsilon_of(1.0, delta, terms.without_amplification().campaign(1))
        return replace(found, epsilon=math.inf, epsilon_without_amplification=math.inf, noise_multiplier=0.0)
    if terms.longest is not None:
        return _of_trees(terms, delta, list(Counter(release.tree for release in releases).values()))
    return epsilon_of(terms.noise_multiplier, delta, claimed.campaign(len(releases)))


def _of_trees(terms: Terms, delta: float, lengths: Sequence[int]) -> Guarantee:
    """Return what trees of these lengths cost, each owner having been in each once at most."""
    once = tree.combined_noise(terms.noise_multiplier, lengths)
    found = epsilon_of(once, delta, terms.campaign(1))
    said = f"Noise of {len(lengths)} trees of up to {max(lengths)} rounds; nobody took part twice in one of them."
    kept = [found.assumptions[0], found.assumptions[1], said, *found.assumptions[3:]]
    return replace(found, noise_multiplier=terms.noise_multiplier, assumptions=tuple(kept))


def releases_within(terms: Terms, epsilon: float, delta: float) -> int:
    """Return how many releases may be made before the next one would spend more than epsilon."""
    claimed = terms.without_amplification() if terms.obstacles else terms
    if terms.noise_multiplier < LEAST_NOISE:
        return 0

    def fits(releases: int) -> bool:
        if terms.longest is not None:
            return _of_trees(terms, delta, tree.lengths_of(releases, terms.longest)).epsilon <= epsilon
        return epsilon_of(terms.noise_multiplier, delta, claimed.campaign(releases)).epsilon <= epsilon

    low, high = 0, 1
    while high <= MOST_RELEASES and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def noise_for(terms: Terms, epsilon: float, delta: float, releases: int) -> float:
    """Return the noise multiplier with which so many releases spend epsilon under these terms."""
    if terms.longest is not None:
        once = noise_multiplier_for(epsilon, delta, terms.campaign(1))
        return once / tree.combined_noise(1.0, tree.lengths_of(releases, terms.longest))
    claimed = terms.without_amplification() if terms.obstacles else terms
    return noise_multiplier_for(epsilon, delta, claimed.campaign(releases))


def record(terms: Terms, releases: Sequence[Release]) -> dict[str, Any]:
    """Return the guarantee as `summary.json` tells it.

    Every key is there whatever happened. `guarantee` says whether there is any; where there is none, epsilon is null.
    """
    broken, bare = terms.broken(releases), terms.without_amplification()
    found = spent(terms, releases, terms.delta) if terms.delta is not None and releases else None
    epsilon, plain = (found.epsilon, found.epsilon_without_amplification) if found else (math.inf, math.inf)
    if terms.delta is not None and not releases:
        epsilon = plain = 0.0
    bounded = math.isfinite(epsilon)
    return {
        "guarantee": bounded,
        "unit": "the owner of data, with all of it on all devices",
        "relation": bare.campaign(1).neighbours.name,
        "epsilon": epsilon if bounded else None,
        "epsilon_without_amplification": plain if bounded else None,
        "delta": terms.delta,
        "noise_multiplier": terms.noise_multiplier,
        "accountant": found.accountant if found and bounded else None,
        "sampling": terms.sampling,
        "amplification": epsilon < plain,
        "why_no_amplification": list(broken),
        "population": terms.population,
        "cohort_planned": terms.cohort,
        "cap": terms.cap,
        "releases": len(releases),
        "cohort_realised": range_of([release.replied for release in releases]),
        "cohort_drawn": range_of([release.drawn for release in releases]),
        "clipping_norms": range_of([release.clipping_norm for release in releases]),
        "assumptions": list(found.assumptions) if found else [],
        "warnings": list(found.warnings) if found else [],
        "statement": _statement(terms, releases, found, broken),
    }


def range_of(values: Sequence[float]) -> dict[str, float | None]:
    """Return the least, the mean and the greatest of some numbers; nothing of none."""
    if not values:
        return {"min": None, "mean": None, "max": None}
    return {"min": min(values), "mean": sum(values) / len(values), "max": max(values)}


def _statement(terms: Terms, releases: Sequence[Release], found: Guarantee | None, broken: Sequence[str]) -> str:
    if terms.delta is None:
        return "No formal guarantee is stated: epsilon means nothing without privacy.delta."
    if found is None:
        return "Nothing was released."
    if not math.isfinite(found.epsilon):
        return "No formal guarantee: no noise was added, so there is no differential privacy."
    counts = [release.replied for release in releases]
    who = (
        f"({found.epsilon:.3g}, {terms.delta:g})-differential privacy of one owner's whole data, on all its devices,"
        f" against whoever sees the {len(releases)} released models:"
        f" {terms.without_amplification().campaign(1).neighbours.says}."
    )
    planned = (
        f"Noise and denominator of each round are those of {terms.cohort} owners; {min(counts)} to {max(counts)} took"
        " part."
    )
    said = [who, planned]
    if terms.longest is not None:
        said.append(
            "Its noise is that of trees over rounds, and nobody took part twice in one; no sampling is claimed."
        )
    elif terms.sampling == "none":
        said.append("No amplification by sampling is claimed: the owner may have taken part in every round.")
    elif broken:
        said.append(f"No amplification by sampling is claimed: {'; '.join(broken)}.")
    elif found.epsilon < found.epsilon_without_amplification:
        said.append(
            "It rests on chance alone having decided who took part; without that, epsilon is"
            f" {found.epsilon_without_amplification:.3g}."
        )
    said.append("Metrics are not covered.")
    return " ".join(said)
