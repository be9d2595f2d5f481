"""`privacy.secure_aggregation`: the server gets the sum of the updates and no single one."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from fedlite.scenario.base import Section
from fedlite.scenario.quantities import Fraction, PositiveFraction
from fedlite.scenario.strategies import Positive

LIKELY = 0.01
"""Chance to lose a round above which a scenario's remarks speak of it."""


class SecureAggregation(Section):
    """Pairwise masks with secret sharing, in four trips (Bonawitz et al. 2017, Bell et al. 2020)."""

    neighbours: Annotated[int, Field(ge=2, le=10_000)] | None = None
    """With how many others each shares masks and secrets, an even number; without it with all that are asked."""
    threshold: PositiveFraction = 0.6
    """Share of those who hold shares of a client's secrets, the client among them, that finds them again."""
    bits: Annotated[int, Field(ge=2, le=31)] = 16
    """Of one client's number; the sum's modulus has enough more for all clients."""
    clip: Positive
    """Numbers of an update, times the client's share of the greatest weight, are clipped to plus and minus this."""
    drop_out: Fraction = 0.1
    """Share of the clients that are expected to be lost between the first trip and the last: remarks rest on it."""

    def neighbours_of(self, asked: int) -> int:
        """Return the neighbours of each where so many are asked."""
        return asked - 1 if self.neighbours is None else min(self.neighbours, asked - 1)

    def threshold_of(self, asked: int) -> int:
        """Return how many shares find a secret again."""
        # Rounding first keeps 60 % of 5 at 3.
        return max(2, math.ceil(round(self.threshold * (self.neighbours_of(asked) + 1), 9)))

    def chance_to_lose(self, asked: int) -> float:
        """Return at most how likely a round is lost if as many drop out as are expected to."""
        from fedlite.privacy.secagg.abort import most_likely

        return most_likely(asked, self.neighbours_of(asked) + 1, self.threshold_of(asked), self.drop_out)

    def remarks(self, asked: int) -> list[str]:
        """Return what is in order but may not be meant."""
        chance = self.chance_to_lose(asked)
        said = (
            f"privacy.secure_aggregation: if {self.drop_out:.0%} of {asked} clients drop out, a round is lost with a"
            f" chance of up to {chance:.2g}: {self.threshold_of(asked)} of the {self.neighbours_of(asked) + 1} who hold"
            " shares of each client must be left; raise neighbours, lower threshold, or ask more clients"
        )
        return [said] if chance > LIKELY else []
