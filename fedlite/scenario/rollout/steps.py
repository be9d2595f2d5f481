"""The one form that steps, waves and presets come to: who is let in, for how long, and what is asked then."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One stretch of a rollout during which nobody new is let in after its beginning.

    A step begins when the one before ends. It ends after `hold_s`, then once the share `installed` of its devices run
    the new model, then its gates are analysed, then, if it `waits`, a person says so. Steps of one number let in nobody
    new: they are what is asked between two lettings-in.
    """

    number: int
    """Which letting-in this is, from 1; 0 before the first."""
    name: str
    weight: float
    """Share of the devices meant that have been let in once the step has begun, earlier steps included."""
    count: int
    """Devices let in beyond that share."""
    tiers: tuple[str, ...] = ()
    """Tiers whose devices are meant; with no tiers and no profiles, all devices."""
    profiles: tuple[str, ...] = ()
    hold_s: float = 0.0
    """How long the step lasts at least."""
    installed: float | None = None
    """Share of the devices it let in that must run the new model before it ends."""
    gates: tuple[str, ...] = ()
    """Names of the gates that are analysed at its end."""
    waits: bool = False
    """Whether a person must let the rollout go on."""

    def devices(self, meant: int) -> int:
        """Return how many of the devices meant have been let in once the step has begun."""
        # A share of a few devices is one at least; what is a hair above a whole number is that number.
        return min(meant, self.count + math.ceil(round(self.weight * meant, 9)))

    def fits(self, *, profile: str, tier: str) -> bool:
        """Tell whether devices of this profile and tier are meant."""
        return not (self.tiers or self.profiles) or tier in self.tiers or profile in self.profiles
