"""What secure aggregation does not go together with: whatever needs more than the sum of whole updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.scenario.privacy import ClientFixedClipping
from fedlite.scenario.violation import Law, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.clients import PlanSection
    from fedlite.scenario.sections import Sections

_KEY: Final = "privacy.secure_aggregation"
_PLAIN: Final = ("fp32",)
_SUMMED: Final = ("clip", "noise")
"""Stages after which an update is still one, of its own length."""


def _terms_can_be_kept(scenario: Sections) -> Iterator[Violation]:
    from fedlite.privacy.secagg.errors import TermsError
    from fedlite.privacy.secagg.terms import Terms

    asked = scenario.privacy.secure_aggregation
    if asked is None or scenario.training.strategy.asynchronous:
        return
    count = scenario.asked
    try:
        # A model's length is not known here; whatever it is, it is one or more.
        Terms(0, count, asked.neighbours_of(count), asked.threshold_of(count), 1, asked.bits, asked.clip)
    except TermsError as error:
        name, _, rest = str(error).partition(": ")
        message, _, remedy = rest.rpartition("; ")
        key = f"{_KEY}.{name}" if name != "clients" else "training.clients_per_round"
        yield Violation(key, message, remedy, ("training.clients_per_round", "training.over_select", "fleet.devices"))


def _only_means_of_single_rounds(scenario: Sections) -> Iterator[Violation]:
    if scenario.privacy.secure_aggregation is None:
        return
    training, strategy = scenario.training, scenario.training.strategy
    if strategy.asynchronous or not strategy.mean:
        needs = "has no rounds" if strategy.asynchronous else "needs every single reply"
        yield Violation(
            _KEY,
            f"got it with strategy {strategy.name!r}, which {needs}, but a server learns only the sum of a round",
            "write 'strategy: fedavg' or another mean, or remove it",
            ("training.strategy",),
        )
    if training.replies == "reduced":
        yield Violation(
            "training.replies",
            "got 'reduced' with secure aggregation, in which every device sends a masked vector of its own",
            "write 'replies: auto'",
            ("privacy",),
        )
    if scenario.protocol is not None:
        yield Violation(
            _KEY,
            "got it with 'protocol: production', whose devices leave once they have reported, but it takes four trips",
            "write 'protocol: none' in the fleet, or remove it",
            ("fleet.protocol",),
        )
    if scenario.task is not None and scenario.task.app is not None:
        yield Violation(
            _KEY,
            "got it with task.app, whose replies fedlite does not make",
            "use Flower's SecAggPlusWorkflow in an app of your own (docs/concepts/secure-aggregation.md), or remove it",
            ("task.app",),
        )


def _clipping_is_the_clients_own(scenario: Sections) -> Iterator[Violation]:
    privacy = scenario.privacy
    if privacy.secure_aggregation is None or not privacy.central or isinstance(privacy, ClientFixedClipping):
        return
    yield Violation(
        _KEY,
        f"got it with {privacy.mechanism!r}, whose server has to see each update, or how many were clipped",
        "write 'mechanism: client-fixed-clipping' or 'local-dp'",
        ("privacy.mechanism",),
    )


def _codecs_are_linear(scenario: Sections) -> Iterator[Violation]:
    from fedlite.wire import parse_codec

    if scenario.privacy.secure_aggregation is None:
        return
    chains = [("wire.up", scenario.wire.up)]
    chains += [(f"{where}.up", plan.up) for where, plan in scenario.written_plans if plan.up]
    for where, stages in chains:
        if not parse_codec(stages).linear:
            yield Violation(
                where,
                f"got the codec {'+'.join(stages)!r} with secure aggregation, expected one that is linear: a sum of its"
                " packets is no packet of the sum, and masked ones cannot be compressed",
                "write 'up: fp32', and choose secure_aggregation.bits",
                ("privacy",),
            )


def _plans_hold_the_whole_net(scenario: Sections) -> Iterator[Violation]:
    if scenario.privacy.secure_aggregation is None:
        return
    for where, plan in scenario.written_plans:
        if plan.changes_shape or _masks(plan):
            yield Violation(
                where,
                f"got {plan.label!r} with secure aggregation: which coordinates a device holds would not be in the sum",
                "give every device the full net without masks, or remove secure_aggregation",
                ("privacy",),
            )
        bad = [stage.name for stage in plan.plan(_PLAIN, _PLAIN).stages if stage.name not in _SUMMED]
        if bad or plan.error_feedback:
            yield Violation(
                where,
                f"got {(bad or ['error feedback'])[0]!r} with secure aggregation, which sends and remembers more than"
                " an update",
                "remove it; 'clip' and 'noise' may stay",
                ("privacy",),
            )


def _masks(plan: PlanSection) -> bool:
    from fedlite.compression.constraint.base import Constraint

    constraints = plan.plan(_PLAIN, _PLAIN).constraints
    return any(getattr(type(each), "held", None) is not Constraint.held for each in constraints)


SECURE_AGGREGATION_LAWS: Final[tuple[Law, ...]] = (
    _terms_can_be_kept,
    _only_means_of_single_rounds,
    _clipping_is_the_clients_own,
    _codecs_are_linear,
    _plans_hold_the_whole_net,
)
