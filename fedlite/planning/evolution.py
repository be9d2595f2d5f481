"""Regularised evolution: the best of a few nets has a child that differs in one thing, and the oldest net goes.

Only nets that fit a constraint come in at all, so that what is found meets it, whatever the scores say.

References
----------
Real, Aggarwal, Huang, Le 2019, "Regularized evolution for image classifier architecture search", algorithm 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fedlite.errors import FedliteError

if TYPE_CHECKING:
    import numpy as np

    from fedlite.compression.structure.subnet import Choice
    from fedlite.planning.search_space import Space

Score = Callable[["Choice"], float]
"""How good a net is, more is better; asked once for each."""
Fits = Callable[["Choice"], bool]
"""Whether a net meets the constraint."""

_TRIES: Final = 100
"""Draws, or mutations, after which a population is smaller, or a parent has no child that fits."""


class SearchError(FedliteError):
    """A search cannot find what was asked for."""


@dataclass(frozen=True)
class Evolution:
    """How long, and how greedily, is searched.

    Attributes
    ----------
    population : int
        Nets that live at a time.
    sample : int
        Of how many of them the best becomes a parent.
    cycles : int
        Children.
    """

    population: int = 12
    sample: int = 4
    cycles: int = 60

    def __post_init__(self) -> None:
        for name in ("population", "sample", "cycles"):
            if (value := getattr(self, name)) < 1:
                raise SearchError(f"{name}: got {value}, expected 1 or more; write another")


@dataclass(frozen=True)
class Best:
    """What was found: the best net of all that were asked about, and how many that were."""

    choice: Choice
    score: float
    asked: int


def evolve(space: Space, score: Score, fits: Fits, rng: np.random.Generator, rule: Evolution) -> Best:
    """Return the best net that fits, of those that evolution came by; the first of equals.

    Raises
    ------
    SearchError
        If no net that was drawn fits.
    """
    known: dict[Choice, float] = {}

    def judged(choice: Choice) -> Choice:
        if choice not in known:
            known[choice] = score(choice)
        return choice

    drawn = (space.drawn(rng) for _ in range(rule.population * _TRIES))
    fitting = (choice for choice in drawn if fits(choice))
    alive = deque(judged(choice) for choice, _ in zip(fitting, range(rule.population), strict=False))
    if not alive:
        raise SearchError(f"search: got a constraint that none of {len(space)} nets was found to meet; allow more")
    for _ in range(rule.cycles):
        places = rng.choice(len(alive), size=min(rule.sample, len(alive)), replace=False).tolist()
        parent = max((alive[place] for place in sorted(places)), key=known.__getitem__)
        children = (space.mutated(parent, rng) for _ in range(_TRIES))
        child = next((one for one in children if fits(one)), None)
        if child is not None:
            alive.append(judged(child))
            alive.popleft()
    best = max(known, key=known.__getitem__)
    return Best(best, known[best], len(known))


def exhaustive(space: Space, score: Score, fits: Fits) -> Best:
    """Return the best net that fits, of all there are: the oracle of a small space; the first of equals.

    Raises
    ------
    SearchError
        If none fits.
    """
    known = {choice: score(choice) for choice in space.choices() if fits(choice)}
    if not known:
        raise SearchError(f"search: got a constraint that none of {len(space)} nets meets; allow more")
    best = max(known, key=known.__getitem__)
    return Best(best, known[best], len(known))
