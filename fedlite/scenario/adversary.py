"""The `adversary` section: whom the run is recorded for, and which canaries it plants for an audit."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from fedlite.scenario.base import Section, at_most, mistake
from fedlite.scenario.strategies import Count, Positive

KEPT: Final = 16
"""Updates of a round that are kept unless the scenario says how many."""
MOST_ROUNDS: Final = 1000

Round = Annotated[int, Field(ge=1)]


class Canaries(Section):
    """Data owners whose devices send, in place of what they learn, an update that an audit can look for.

    A fair coin per owner, drawn by the seed, decides: heads, every update is the same random direction; tails, it is
    nothing. The first owners are canaries, and their data is not learned from.
    """

    clients: Annotated[int, Field(ge=2, le=1_000_000)]
    """How many of the data owners."""
    norm: Positive | None = None
    """Length of a canary's update; without it the mechanism's clipping norm, which is the most that counts."""


class Adversary(Section):
    """What somebody sees whom the clients need not trust; it is kept in the run directory, for attacks and audits."""

    sees: Literal["updates", "sums", "models"]
    """`updates`: the server, every single update as it decodes it. `sums`: the server under secure aggregation, each
    round's mean and who was in it. `models`: whoever gets the released models."""
    rounds: Annotated[tuple[Round, ...] | None, at_most(MOST_ROUNDS, "rounds")] = Field(default=None, strict=False)
    """Which rounds are kept; without it the first of `updates`, and all of sums, of models, and with canaries."""
    clients: Count | None = None
    """Of `updates`: how many of a round are kept, the first to be asked; without it 16, and all with canaries."""
    canaries: Canaries | None = None
    """Canaries for `fedlite privacy audit`; without it none."""

    @model_validator(mode="after")
    def _clients_are_of_updates(self) -> Adversary:
        if self.clients is not None and self.sees != "updates":
            raise mistake(
                f"got clients {self.clients} with sees {self.sees!r}, where nobody is seen alone", "remove 'clients'"
            )
        return self

    def kept_rounds(self, rounds: int) -> tuple[int, ...]:
        """Return the rounds that are kept, of that many, ascending."""
        if self.rounds is not None:
            return tuple(sorted(set(self.rounds)))
        return (1,) if self.sees == "updates" and self.canaries is None else tuple(range(1, rounds + 1))

    @property
    def kept_clients(self) -> int | None:
        """How many updates of a round are kept; None for all."""
        return self.clients or (KEPT if self.canaries is None else None)
