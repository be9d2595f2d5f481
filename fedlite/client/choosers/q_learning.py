"""One plan for each class of links in a round, by a table of values over (phase of the training, class of link).

The reward is that of the bandit; what the next phase is worth counts too. Early rounds may well do with coarser updates
than late ones, and a slow link with coarser ones than a fast one: the table can hold both.

References
----------
Watkins, Dayan 1992, "Q-learning". Becerra-Rozas et al. 2022, "Swarm-Inspired Computing to Solve Binary Optimization
Problems: A Backward Q-Learning Binarization Scheme Selector": there the scheme of a search heuristic, here a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlite.client.choosers.bandit import check_learning
from fedlite.client.choosers.base import Asked, Choice, Chooser, Ended, Ids, Setting
from fedlite.client.choosers.course import Course, reward
from fedlite.client.choosers.links import check_rates, link_class
from fedlite.client.choosers.values import Values
from fedlite.compression.part import PartError
from fedlite.rng import stream


@dataclass(frozen=True)
class QLearning(Chooser):
    """Tries each plan once in each state, then mostly the best so far.

    Attributes
    ----------
    explore, step : float
        As of the bandit.
    discount : float
        What the best value of the next round counts, 0 up to below 1.
    phases : int
        Into how many equal parts the rounds are cut.
    links : tuple of float
        Uplink rates, bit/s, that part the classes of links, rising.
    """

    name: ClassVar[str] = "q-learning"
    cites: ClassVar[tuple[str, ...]] = ("watkins1992q", "becerrarozas2022swarm")

    explore: float = 0.1
    step: float = 0.3
    discount: float = 0.5
    phases: int = 3
    links: tuple[float, ...] = (5e6,)

    def __post_init__(self) -> None:
        check_learning(self.explore, self.step)
        if not 0.0 <= self.discount < 1.0:
            raise PartError(f"discount: got {self.discount}, expected 0 up to below 1; write for example 0.5")
        if self.phases < 1:
            raise PartError(f"phases: got {self.phases}, expected 1 or more; write for example 3")
        check_rates(self.links)

    def begin(self, setting: Setting) -> Choice:
        """Return it with an empty table."""
        return _Table(self, setting)


class _Table(Choice):
    def __init__(self, rule: QLearning, setting: Setting) -> None:
        self._rule, self._setting = rule, setting
        self._values = Values(setting.arms, rule.explore, rule.step, rule.discount)
        self._course = Course()
        self._arms: dict[tuple[int, int], int] = {}
        self._last: tuple[int, float] | None = None

    def pick(self, asked: Asked) -> Ids:
        self._learn(asked.round_)
        classes = link_class(self._rule.links, asked.standing.up_bps)
        picked = np.empty(len(asked.devices), dtype=np.int64)
        for link in np.unique(classes).tolist():
            picked[classes == link] = self._arm(asked.round_, link, trains=asked.trains)
        return picked

    def _arm(self, round_: int, link: int, *, trains: bool) -> int:
        place, state = (round_, link), self._state(round_, link)
        if place not in self._arms and not trains:
            return self._values.best(state)
        if place not in self._arms:
            self._arms[place] = self._values.pick(state, stream(self._setting.seed, "q-learning", round_, link))
        return self._arms[place]

    def _state(self, round_: int, link: int) -> tuple[int, int]:
        phases = self._rule.phases
        return min(phases - 1, max(0, round_ - 1) * phases // self._setting.rounds), link

    def note(self, ended: Ended) -> None:
        self._course.add(ended)

    def _learn(self, now: int) -> None:
        for round_, loss in self._course.closed(now):
            if self._last is not None:
                self._credit(*self._last, round_, loss)
            self._last = round_, loss

    def _credit(self, earlier: int, before: float, round_: int, after: float) -> None:
        for link in range(len(self._rule.links) + 1):
            arm = self._arms.get((earlier, link))
            share = None if arm is None else self._course.share(earlier, arm)
            if arm is not None and share is not None:
                states = self._state(earlier, link), self._state(round_, link)
                self._values.learn(states[0], arm, reward(before, after, share), states[1])
