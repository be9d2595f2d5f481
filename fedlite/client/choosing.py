"""Jobs whose plan is chosen out of several: the assignment that asks choosers, and tells them how jobs ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fedlite.client.choosers.base import Asked, Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fedlite.client.assignment import Assignment, Outcomes, Standing
    from fedlite.client.choosers.base import Choice
    from fedlite.compression.plan import Plan

Ids = NDArray[np.int64]

_EACH: Final = ("devices", "arrived", "up_bytes", "raw_bytes", "loss", "examples")
"""What of a job's outcome a chooser hears."""


@dataclass(frozen=True)
class Menu:
    """The plans of one rule, and who chooses among them.

    Attributes
    ----------
    stands_in : Plan
        What the assignment gives to devices of this rule.
    plans : tuple of Plan
    choice : Choice
    """

    stands_in: Plan
    plans: tuple[Plan, ...]
    choice: Choice


class Choosing:
    """An assignment that replaces the stand-ins of another one by what choosers pick.

    Parameters
    ----------
    inner : Assignment
    menus : sequence of Menu
    look : callable
        What devices have at a time that is not before the last one asked about.
    """

    def __init__(self, inner: Assignment, menus: Sequence[Menu], look: Callable[[Ids, float], Standing]) -> None:
        self._inner = inner
        self._menus = menus
        self._look = look

    def plans(self, devices: Ids, round_: int, now_s: float, *, trains: bool = True) -> list[Plan]:
        """Return each device's plan."""
        found = list(self._inner.plans(devices, round_, now_s, trains=trains))
        for menu in self._menus:
            places = np.array([i for i, plan in enumerate(found) if plan is menu.stands_in], dtype=np.int64)
            if not places.size:
                continue
            mine = devices[places]
            arms = menu.choice.pick(Asked(round_, trains, mine, self._look(mine, now_s)))
            for place, arm in zip(places.tolist(), arms.tolist(), strict=True):
                found[place] = menu.plans[arm]
        return found

    def note(self, outcomes: Outcomes) -> None:
        """Tell each chooser how the jobs ended that it picked for."""
        for menu in self._menus:
            arm_of = {id(plan): arm for arm, plan in enumerate(menu.plans)}
            arms = np.array([arm_of.get(id(plan), -1) for plan in outcomes.plans], dtype=np.int64)
            mine = np.flatnonzero(arms >= 0)
            if mine.size:
                kept = {name: getattr(outcomes, name)[mine] for name in _EACH}
                menu.choice.note(Ended(outcomes.round_, arms=arms[mine], **kept))
