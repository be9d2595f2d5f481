"""What an adversary can see, and which canaries can be planted, beside the rest of a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlite.scenario.canaries import canary_norm
from fedlite.scenario.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.sections import Sections


def adversary_can_see(scenario: Sections) -> Iterator[Violation]:
    """Yield what of the section does not go with the rest of the scenario."""
    adversary, rounds = scenario.adversary, scenario.training.rounds
    if adversary is None:
        return
    if scenario.task is not None and scenario.task.app is not None:
        yield Violation(
            "adversary",
            "got an adversary with task.app, whose messages fedlite cannot read",
            "remove it, or let fedlite train a model of its own",
            ("task",),
        )
    if scenario.privacy.secure_aggregation is not None and adversary.sees == "updates":
        yield Violation(
            "adversary.sees",
            "got 'updates' with privacy.secure_aggregation, under which nobody sees a single update",
            "write 'sees: sums'",
            ("privacy",),
        )
    if adversary.rounds and max(adversary.rounds) > rounds:
        yield Violation(
            "adversary.rounds",
            f"got round {max(adversary.rounds)} of a training of {rounds} rounds",
            f"write rounds up to {rounds}, or raise training.rounds",
            ("training.rounds",),
        )
    if adversary.canaries is None:
        return
    for where, plan in scenario.written_plans:
        if plan.changes_shape:
            yield Violation(
                where,
                "got a plan of another shape than the full net with canaries, which are directions of the full one",
                "give every device the full net, or remove the canaries",
                ("adversary",),
            )
    if adversary.canaries.clients > scenario.fleet.devices:
        yield Violation(
            "adversary.canaries.clients",
            f"got {adversary.canaries.clients} canaries on {scenario.fleet.devices} devices",
            f"write {scenario.fleet.devices} or fewer, or raise fleet.devices",
            ("fleet.devices",),
        )
    if canary_norm(scenario) is None:
        yield Violation(
            "adversary.canaries",
            f"got no norm with the mechanism {scenario.privacy.mechanism!r}, which has no fixed clipping norm either",
            "write 'canaries: {clients: ..., norm: 1.0}'",
            ("privacy",),
        )
