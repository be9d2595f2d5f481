"""One plan for a round, the one that has brought most for its bytes, and now and then another: epsilon-greedy.

The reward of a round is the share of the training loss that its updates took away, for each update uncompressed that
they took (`course.reward`). All devices of a round have the same plan, or nobody could tell whose merit it was.

References
----------
Sutton, Barto 2018, "Reinforcement Learning", section 2.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlite.client.choosers.base import Asked, Choice, Chooser, Ended, Ids, Setting
from fedlite.client.choosers.course import Course, reward
from fedlite.client.choosers.values import Values
from fedlite.compression.part import PartError
from fedlite.rng import stream


@dataclass(frozen=True)
class Bandit(Chooser):
    """Tries each plan once, then mostly the best so far.

    Attributes
    ----------
    explore : float
        Probability of a random plan.
    step : float
        How far a value moves towards the last reward, above 0 up to 1.
    """

    name: ClassVar[str] = "bandit"
    cites: ClassVar[tuple[str, ...]] = ("sutton2018reinforcement",)

    explore: float = 0.1
    step: float = 0.3

    def __post_init__(self) -> None:
        check_learning(self.explore, self.step)

    def begin(self, setting: Setting) -> Choice:
        """Return it knowing no plan's value."""
        return _ByRound(self, setting)


def check_learning(explore: float, step: float) -> None:
    """Raise PartError unless these are a probability and a step."""
    if not 0.0 <= explore <= 1.0:
        raise PartError(f"explore: got {explore}, expected a share of 0 to 1; write for example 0.1")
    if not 0.0 < step <= 1.0:
        raise PartError(f"step: got {step}, expected above 0 up to 1; write for example 0.3")


class _ByRound(Choice):
    def __init__(self, rule: Bandit, setting: Setting) -> None:
        self._values = Values(setting.arms, rule.explore, rule.step)
        self._seed = setting.seed
        self._course = Course()
        self._arms: dict[int, int] = {}
        self._last: tuple[int, float] | None = None

    def pick(self, asked: Asked) -> Ids:
        self._learn(asked.round_)
        if asked.round_ not in self._arms and not asked.trains:
            return np.full(len(asked.devices), self._values.best(None), dtype=np.int64)
        if asked.round_ not in self._arms:
            self._arms[asked.round_] = self._values.pick(None, stream(self._seed, "bandit", asked.round_))
        return np.full(len(asked.devices), self._arms[asked.round_], dtype=np.int64)

    def note(self, ended: Ended) -> None:
        self._course.add(ended)

    def _learn(self, now: int) -> None:
        for round_, loss in self._course.closed(now):
            if self._last is not None:
                earlier, before = self._last
                arm = self._arms[earlier]
                share = self._course.share(earlier, arm)
                if share is not None:
                    self._values.learn(None, arm, reward(before, loss, share))
            self._last = round_, loss
