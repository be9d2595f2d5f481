"""How many rehearsals a search takes, and how they are divided between finding plans and trying them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fedlite.errors import FedliteError
from fedlite.rollout.bounds import fewest
from fedlite.rollout.candidates import within

if TYPE_CHECKING:
    from fedlite.compose.rollout_plan import Rehearsed

WRONG: Final = 0.05
"""Chance that any plan which is said to stay within what is allowed does not, all plans on trial taken together."""
PERCENTILE: Final = 0.95
"""Of the devices that a bad model reaches."""
ON_TRIAL: Final = 4
"""Plans at most: the plan as it is, the fastest, the safest, and one between them."""
_FEWEST: Final = 2
"""Rehearsals in each world of a round."""
_LAST: Final = 5
"""Plans of the last round, beside the plan as it is."""


@dataclass(frozen=True)
class Allowed:
    """What the user allows: devices that a bad model may reach (95th percentile), and the least chance to detect it."""

    blast_devices: float
    detect: float


@dataclass(frozen=True)
class Budget:
    """How many rehearsals there are: to search, and for the trial."""

    sizes: tuple[int, ...]
    """Plans of each round, beside the plan as it is."""
    worlds: int
    bad: int
    """Worlds, and how many of them are bad: how fast a plan is hangs little on chance, so the first round tells it."""
    for_search: int
    rehearsals: int

    @classmethod
    def of(cls, made: Rehearsed, allowed: Allowed, rehearsals: int | None = None) -> Budget:
        """Return what becomes of so many rehearsals, twice as many as it takes at least if not told.

        Raises
        ------
        FedliteError
            If the plan has no bad world, or nothing could be shown by so few rehearsals, or by any number.
        """
        if not any(world.is_bad for world in made.worlds):
            raise FedliteError(
                "worlds: got none in which anything is wrong, expected one to be safe from; add a bad world"
            )
        if allowed.detect >= 1.0:
            raise FedliteError("--detect: got 1, expected less: no number of rehearsals shows certainty; write 0.99")
        sizes = [len(within(made.plan.horizon_s - made.plan.start_s))]
        while sizes[-1] > _LAST:
            sizes.append(max(_LAST, sizes[-1] // 2))
        worlds, bad = len(made.worlds), sum(world.is_bad for world in made.worlds)
        first, *later = (_FEWEST * (size + 1) for size in sizes)
        to_search = first * worlds + sum(later) * bad
        per_plan = max(fewest(share, WRONG / ON_TRIAL) for share in (PERCENTILE, allowed.detect))
        least = to_search + per_plan * ON_TRIAL * worlds
        given = 2 * least if rehearsals is None else rehearsals
        if given < least:
            raise FedliteError(
                f"--rehearsals: got {given}, expected {least} or more: {to_search} to search {sizes[0]} plans in"
                f" {worlds} worlds, and {per_plan} in each world for each of the {ON_TRIAL} that are left, or nothing"
                " could be shown of them; raise it"
            )
        return cls(tuple(sizes), worlds, bad, to_search + (given - least) // 2, given)

    def times(self, number: int, spent: int) -> int:
        """Return how often each plan of a round meets each world that the round is about."""
        worlds = self.bad if number else self.worlds
        share = (self.for_search - spent) // ((len(self.sizes) - number) * (self.sizes[number] + 1) * worlds)
        return max(_FEWEST, share if number else 0)
