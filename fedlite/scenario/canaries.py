"""The canaries that a scenario plants: how long their updates are, and the stage that makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedlite.client.stages.canary import Canary
    from fedlite.scenario.sections import Sections


def canary_norm(scenario: Sections) -> float | None:
    """Return the length of a canary's update; None if nothing tells it, or there are none."""
    canaries = scenario.adversary.canaries if scenario.adversary else None
    if canaries is None:
        return None
    fixed: float | None = getattr(scenario.privacy, "clipping_norm", None)
    return canaries.norm or fixed


def canary_stages(scenario: Sections) -> tuple[Canary, ...]:
    """Return the stage that makes some owners' updates canaries, if the scenario plants any."""
    from fedlite.client.stages.canary import Canary
    from fedlite.rng import seed_of

    norm = canary_norm(scenario)
    if norm is None or scenario.adversary is None or scenario.adversary.canaries is None:
        return ()
    return (Canary(scenario.adversary.canaries.clients, seed_of(scenario.seed, "canaries"), norm),)
