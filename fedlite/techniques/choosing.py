"""Techniques that choose: another plan for each client and round, or a scheme that is learned from trying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fedlite.client.choosers.bandit import check_learning
from fedlite.client.choosers.by_update import ByUpdate
from fedlite.client.choosers.values import Values
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.rng import stream
from fedlite.techniques.automatic import parsed
from fedlite.techniques.pipeline import joined
from fedlite.techniques.technique import (
    COMPUTE,
    DEVICE,
    STORED,
    UPLINK,
    WIRE,
    Among,
    Example,
    Recipe,
    Search,
    Technique,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedlite.techniques.technique import Bench

BYTES: Final = ("stored_bytes", "up_bytes", "down_bytes")


@dataclass(frozen=True)
class Reward:
    """What a measured recipe is worth: its accuracy for each byte, both as shares of those of the model as it is.

    Attributes
    ----------
    of : tuple of str
        Which bytes; of several the mean of their shares.
    least : float
        Share of the accuracy below which nothing is worth anything.
    """

    of: tuple[str, ...]
    least: float

    def __post_init__(self) -> None:
        if unknown := [name for name in self.of if name not in BYTES]:
            raise PartError(f"of: got {unknown[0]!r}, expected some of {', '.join(BYTES)}; write one of them")
        if not 0.0 <= self.least <= 1.0:
            raise PartError(f"least: got {self.least}, expected a share of 0 to 1; 0.95 is the default")

    def worth(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
        """Return it, given what was measured of the model as it is and of the recipe."""
        accuracy = float(after["accuracy"]) / float(before["accuracy"])
        shares = [float(after[name]) / float(before[name]) for name in self.of]
        return accuracy * len(shares) / sum(shares) if accuracy >= self.least else 0.0


@dataclass(frozen=True)
class Learned(Search):
    """Finds a scheme by trying: one choice after the other, and the reward when all are made.

    The state of a choice is what was chosen just before it. With one list of arms this is the epsilon-greedy bandit,
    with several tabular Q-learning. A recipe is measured once, however often it is tried: the bench rolls no dice.

    Attributes
    ----------
    stages : tuple of tuples of str
        The arms of each choice, as the candidates of `auto` are written.
    reward : Reward
    tries : int
    explore, step, discount : float
    seed : int
    """

    stages: tuple[tuple[str, ...], ...]
    reward: Reward
    tries: int
    explore: float = 0.1
    step: float = 0.3
    discount: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        check_learning(self.explore, self.step)
        if not all(self.stages) or not self.stages:
            raise PartError("arms: got an empty list, expected one or more; write for example 'none half-precision'")
        if self.tries < 1:
            raise PartError(f"tries: got {self.tries}, expected 1 or more; write more than there are arms")

    def find(self, bench: Bench) -> tuple[Recipe, dict[str, Any]]:
        """Return the recipe that is thought best after all tries, and what each came to."""
        return _Trying(self, bench).best()


class _Trying:
    def __init__(self, rule: Learned, bench: Bench) -> None:
        self.rule, self.bench = rule, bench
        self._known: dict[tuple[int, ...], float] = {}
        self._before = self.bench.measure(Recipe())
        self._values = [Values(len(arms), rule.explore, rule.step, rule.discount) for arms in rule.stages]
        rng = stream(rule.seed, "scheme")
        self._tried: list[tuple[int, ...]] = []
        for _ in range(rule.tries):
            path: tuple[int, ...] = ()
            for values in self._values:
                path = (*path, values.pick(path[-1:], rng))
            self._tried.append(path)
            self._learn(path, self._worth(path))

    def _worth(self, path: tuple[int, ...]) -> float:
        if path not in self._known:
            self._known[path] = self.rule.reward.worth(self._before, self.bench.measure(self._recipe(path)))
        return self._known[path]

    def _learn(self, path: tuple[int, ...], reward: float) -> None:
        """Credit the last choice with the reward, and each before it with what the next one is thought to be worth."""
        following = 0.0
        for place in reversed(range(len(path))):
            state, last = path[:place][-1:], place == len(path) - 1
            self._values[place].learn(state, path[place], reward if last else self.rule.discount * following)
            following = max(value for value in self._values[place].of(state) if value is not None)

    def _recipe(self, path: tuple[int, ...]) -> Recipe:
        recipe = Recipe()
        for name in self._names(path):
            recipe = joined(recipe, parsed(name))
        return recipe

    def _names(self, path: tuple[int, ...]) -> list[str]:
        return [arms[arm] for arms, arm in zip(self.rule.stages, path, strict=True)]

    def best(self) -> tuple[Recipe, dict[str, Any]]:
        """Return the recipe that is thought best, and what was tried."""
        path: tuple[int, ...] = ()
        for values in self._values:
            path = (*path, values.best(path[-1:]))
        facts = {
            "chosen": self._names(path),
            "tried": [{"arms": self._names(one), "reward": self._known[one]} for one in self._tried],
            "measured": len(self._known),
        }
        return self._recipe(path), facts


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def adaptive_codec(
    codecs: str = "int2+zstd int4+zstd int8+zstd", patience: int = 2, smoothing: float = 0.5, links: str = "25e6"
) -> Recipe:
    """Send coarser updates on slow links and while the loss still falls, finer ones on fast links and later."""
    plans = tuple(Plan(codec, up=tuple(codec.split("+"))) for codec in _listed(codecs))
    try:
        rates = tuple(float(rate) for rate in _listed(links))
    except ValueError:
        raise PartError(f"links: got {links!r}, expected rates in bit/s; write for example '2e6 25e6'") from None
    return Recipe(Plan("adaptive-codec"), among=Among(ByUpdate(patience, smoothing, rates), plans))


def bandit(
    arms: str = "half-precision top-k:share=0.1 top-k:share=0.02",
    of: str = "up_bytes",
    least: float = 0.95,
    tries: int = 12,
    explore: float = 0.1,
) -> Learned:
    """Find the scheme with most accuracy for its bytes by pulling arms, epsilon-greedy."""
    return Learned((_listed(arms),), Reward(_listed(of), least), tries, explore)


def q_learning(
    arms: str = "none half-precision top-k:share=0.05 | none static-int8 weight-only:bits=2",
    of: str = "up_bytes stored_bytes",
    least: float = 0.95,
    tries: int = 24,
    explore: float = 0.2,
) -> Learned:
    """Find a scheme by one choice after the other, one for the wire and one for the file, by tabular Q-learning."""
    stages = tuple(_listed(part) for part in arms.split("|"))
    return Learned(stages, Reward(_listed(of), least), tries, explore, discount=0.9)


TECHNIQUES: Final = (
    Technique(
        "adaptive-codec", "choosing", (28,), (WIRE,), (UPLINK,), ("honig2022dadaquant",), adaptive_codec,
        Example(device="pixel-4"),
    ),
    Technique("bandit", "choosing", (18,), (WIRE,), (UPLINK,), ("sutton2018reinforcement",), bandit),
    Technique(
        "q-learning", "choosing", (18,), (STORED, WIRE, COMPUTE), (DEVICE, UPLINK),
        ("watkins1992q", "becerrarozas2022swarm"), q_learning, Example(),
    ),
)  # fmt: skip
