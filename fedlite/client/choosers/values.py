"""What arms are worth, learned from rewards: the table behind the bandit and Q-learning.

References
----------
Watkins, Dayan 1992, "Q-learning". Sutton, Barto 2018, "Reinforcement Learning", sections 2.5 (constant steps) and 6.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np


class Values:
    """One value for each arm in each state.

    Every arm is pulled once in a state before values count there; what it brought may be known only later. With one
    state and no discount this is the epsilon-greedy bandit.

    Parameters
    ----------
    arms : int
    explore : float
        Probability of a random arm.
    step : float
        How far a value moves towards what was seen; the first reward of an arm is its value.
    discount : float
        What the best value of the next state counts.
    """

    def __init__(self, arms: int, explore: float = 0.1, step: float = 0.3, discount: float = 0.0) -> None:
        self._arms, self._explore, self._step, self._discount = arms, explore, step, discount
        self._pulled: dict[Hashable, set[int]] = {}
        self._known: dict[Hashable, list[float | None]] = {}

    def pick(self, state: Hashable, rng: np.random.Generator) -> int:
        """Return the arm to pull."""
        pulled = self._pulled.setdefault(state, set())
        if len(pulled) < self._arms:
            arm = min(set(range(self._arms)) - pulled)
            pulled.add(arm)
            return arm
        if rng.random() < self._explore:
            return int(rng.integers(self._arms))
        return self.best(state)

    def best(self, state: Hashable) -> int:
        """Return the arm of the largest value, the first of equals; arms that were never tried are the least."""
        values = self._row(state)
        return max(range(self._arms), key=lambda arm: (values[arm] is not None, values[arm] or 0.0, -arm))

    def learn(self, state: Hashable, arm: int, reward: float, following: Hashable | None = None) -> None:
        """Learn what pulling an arm brought, and in which state it ended; None for none."""
        target = reward
        if following is not None and self._discount:
            target += self._discount * max((value for value in self._row(following) if value is not None), default=0.0)
        row = self._row(state)
        before = row[arm]
        row[arm] = target if before is None else before + self._step * (target - before)

    def of(self, state: Hashable) -> list[float | None]:
        """Return the values of a state, None for arms that were never tried."""
        return list(self._row(state))

    def _row(self, state: Hashable) -> list[float | None]:
        return self._known.setdefault(state, [None] * self._arms)
