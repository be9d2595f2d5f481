"""Combinations that no single key can judge. Each law is one function that yields what breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.errors import nearest
from fedlite.scenario import names
from fedlite.scenario.adversary_laws import adversary_can_see
from fedlite.scenario.privacy import AdaptiveClipping, ClientAdaptiveClipping, FixedClipping, ServerAdaptiveClipping
from fedlite.scenario.quantities import write
from fedlite.scenario.secure_aggregation_laws import SECURE_AGGREGATION_LAWS
from fedlite.scenario.strategies import Bulyan, FedBuff, FedDF, FedProx, Krum, MultiKrum, QFedAvg
from fedlite.scenario.task_laws import TASK_LAWS
from fedlite.scenario.violation import Law, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedlite.scenario.clients import PlanSection
    from fedlite.scenario.sections import Sections


def _cohort_fits_fleet(scenario: Sections) -> Iterator[Violation]:
    wanted, devices = scenario.training.clients_per_round, scenario.fleet.devices
    if wanted is not None and wanted > devices:
        yield Violation(
            "training.clients_per_round",
            f"got {wanted}, more than the fleet's {devices} devices",
            f"write {devices} or fewer, or raise fleet.devices",
            ("fleet.devices",),
        )
    elif wanted is None and scenario.protocol and not scenario.training.strategy.asynchronous:
        goal = scenario.protocol.selection.goal
        if goal > devices:
            yield Violation(
                "fleet.protocol",
                f"got the goal of {goal} replies in a round, more than the fleet's {devices} devices",
                "write 'training: {clients_per_round: ...}' or 'protocol: {selection: {goal: ...}}', well below that",
                ("fleet.devices", "training.clients_per_round"),
            )
    if scenario.training.strategy.asynchronous and scenario.cohort > devices:
        yield Violation(
            "training.strategy.concurrency",
            f"got {scenario.cohort}, more than the fleet's {devices} devices",
            f"write 'concurrency: {devices}' or fewer, or raise fleet.devices",
            ("fleet.devices", "training.strategy"),
        )


def _first_is_asked(scenario: Sections) -> Iterator[Violation]:
    first = scenario.training.first
    if first is not None and not scenario.training.strategy.asynchronous and first > scenario.asked:
        yield Violation(
            "training.first",
            f"got {first}, but only {scenario.asked} devices are asked in a round",
            f"write {scenario.asked} or fewer, or raise clients_per_round or over_select",
            ("training.clients_per_round", "training.over_select", "fleet.devices", "training.strategy"),
        )


def _asynchronous_has_no_rounds(scenario: Sections) -> Iterator[Violation]:
    training = scenario.training
    if not training.strategy.asynchronous:
        return
    for key, value, unset in (
        ("clients_per_round", training.clients_per_round, None),
        ("over_select", training.over_select, None),
        ("first", training.first, None),
        ("deadline", training.deadline_s, None),
    ):
        if value != unset:
            yield Violation(
                f"training.{key}",
                f"got {_shown(key, value)} with the asynchronous {training.strategy.name!r}, which has no rounds",
                "remove it; strategy.concurrency says how many devices work at a time",
                ("training.strategy",),
            )


def _shown(key: str, value: float | None) -> str:
    return str(write(value, "time")) if key == "deadline" and value is not None else str(value)


def _buffer_can_fill(scenario: Sections) -> Iterator[Violation]:
    strategy = scenario.training.strategy
    if isinstance(strategy, FedBuff) and strategy.buffer > 10 * strategy.concurrency:
        yield Violation(
            "training.strategy.buffer",
            f"got {strategy.buffer} replies per step with only {strategy.concurrency} devices at work",
            f"write 'buffer: {strategy.concurrency}' or fewer, or raise concurrency",
            ("training.strategy",),
        )


def _byzantine_bounds(scenario: Sections) -> Iterator[Violation]:
    strategy = scenario.training.strategy
    if not isinstance(strategy, Krum | MultiKrum | Bulyan):
        return
    bad, cohort = strategy.num_malicious_nodes, scenario.cohort
    need = 4 * bad + 3 if isinstance(strategy, Bulyan) else 2 * bad + 3
    rests_on = ("training.clients_per_round", "fleet.devices", "training.strategy")
    if cohort < need:
        yield Violation(
            "training.strategy.num_malicious_nodes",
            f"got {bad} with {cohort} clients per round, expected at least {need} clients for {strategy.name}",
            f"write 'clients_per_round: {need}' or more, or tolerate fewer",
            rests_on,
        )
    if isinstance(strategy, MultiKrum) and strategy.num_nodes_to_select > cohort - bad:
        yield Violation(
            "training.strategy.num_nodes_to_select",
            f"got {strategy.num_nodes_to_select} of {cohort} replies with {bad} malicious ones among them",
            f"write {max(1, cohort - bad)} or fewer",
            rests_on,
        )


def _proximal_term_is_told_once(scenario: Sections) -> Iterator[Violation]:
    strategy, local = scenario.training.strategy, scenario.training.local
    if isinstance(strategy, FedProx) and local.proximal_mu not in (0.0, strategy.proximal_mu):
        yield Violation(
            "training.local.proximal_mu",
            f"got {local.proximal_mu} beside strategy.proximal_mu {strategy.proximal_mu}",
            "remove it; the strategy tells the clients",
            ("training.strategy",),
        )


def _momentum_needs_sgd(scenario: Sections) -> Iterator[Violation]:
    local = scenario.training.local
    if local.momentum and local.optimizer != "sgd":
        yield Violation(
            "training.local.momentum",
            f"got {local.momentum} with optimizer {local.optimizer!r}, which has moments of its own",
            "remove it, or write 'optimizer: sgd'",
            ("training.local.optimizer",),
        )


def _sums_need_a_mean(scenario: Sections) -> Iterator[Violation]:
    training, privacy = scenario.training, scenario.privacy
    if training.replies != "reduced":
        return
    if not training.strategy.mean:
        yield Violation(
            "training.replies",
            f"got 'reduced' with strategy {training.strategy.name!r}, which needs every single reply",
            "write 'replies: auto'",
            ("training.strategy",),
        )
    if privacy.mechanism != "none":
        yield Violation(
            "training.replies",
            f"got 'reduced' with privacy mechanism {privacy.mechanism!r}, which needs every single reply",
            "write 'replies: auto'",
            ("privacy",),
        )
    if training.failures == "error":
        yield Violation(
            "training.failures",
            "got 'error' with reduced replies, which hold no single device's failure",
            "write 'failures: missing' or 'replies: auto'",
            ("training.replies",),
        )


def _noise_needs_a_mean(scenario: Sections) -> Iterator[Violation]:
    privacy, training = scenario.privacy, scenario.training
    if not privacy.central:
        return
    if training.strategy.robust or training.strategy.asynchronous or isinstance(training.strategy, QFedAvg | FedDF):
        yield Violation(
            "privacy.mechanism",
            f"got {privacy.mechanism!r} with strategy {training.strategy.name!r}, but its noise fits only a mean",
            "write 'strategy: fedavg', or 'mechanism: local-dp'",
            ("training.strategy",),
        )
    drawn = isinstance(privacy, FixedClipping | AdaptiveClipping) and privacy.sampling != "none"
    if scenario.protocol is not None and drawn:
        yield Violation(
            "privacy.sampling",
            "got a sampler with 'protocol: production', whose rounds take those who have checked in",
            "write 'sampling: none' or 'mechanism: dp-ftrl', or 'protocol: none' in the fleet",
            ("fleet.protocol",),
        )
    if isinstance(privacy, ClientAdaptiveClipping | ServerAdaptiveClipping) and privacy.target_epsilon is not None:
        yield Violation(
            "privacy.target_epsilon",
            f"got {privacy.target_epsilon} with adaptive clipping, whose count is a release of its own",
            "write 'noise_multiplier', or use fixed clipping",
            ("privacy",),
        )


def _count_leaves_room_for_noise(scenario: Sections) -> Iterator[Violation]:
    privacy = scenario.privacy
    if not isinstance(privacy, ClientAdaptiveClipping | ServerAdaptiveClipping) or not privacy.noise_multiplier:
        return
    # Andrew et al. 2021, section 3.3: the noise on updates is (z^-2 - (2 s)^-2)^-1/2, which needs z < 2 s.
    told = privacy.clipped_count_stddev
    deviation = scenario.cohort / 20 if told is None else told
    if privacy.noise_multiplier >= 2 * deviation:
        yield Violation(
            "privacy.noise_multiplier",
            f"got {privacy.noise_multiplier:g} with a deviation of {deviation:g} on the count of clipped updates,"
            " expected less than twice that",
            f"write less than {2 * deviation:g}, or raise clipped_count_stddev or clients_per_round",
            ("privacy", "training.clients_per_round"),
        )


def _clipped_stays_clipped(scenario: Sections) -> Iterator[Violation]:
    from fedlite.wire import parse_codec

    if not scenario.privacy.clips_on_client:
        return
    chains = [("wire.up", scenario.wire.up)]
    chains += [(f"{where}.up", plan.up) for where, plan in scenario.written_plans if plan.up]
    for where, stages in chains:
        if parse_codec(stages).lengthens:
            yield Violation(
                where,
                f"got the codec {'+'.join(stages)!r} after clipping on the client: rounding can lengthen an update "
                "beyond the clipping norm",
                "use server-fixed-clipping, or an 'up' of fp32, topk, nonzero and zstd only",
                ("privacy",),
            )
    feedbacks = ["wire.error_feedback"] if scenario.wire.error_feedback else []
    feedbacks += [
        f"{where}.{key}" for where, plan in scenario.written_plans if (key := _feedback_key(plan)) is not None
    ]
    for where in feedbacks:
        yield Violation(
            where,
            "got error feedback with clipping on the client: what is added back is not clipped",
            "remove it, or use server-fixed-clipping",
            ("privacy",),
        )


def _feedback_key(plan: PlanSection) -> str | None:
    """Return the key by which a plan asks for error feedback of its own, if it does."""
    if plan.error_feedback:
        return "error_feedback"
    return "stages" if plan.names_feedback else None


def _slices_need_overlap(scenario: Sections) -> Iterator[Violation]:
    strategy, privacy = scenario.training.strategy, scenario.privacy
    for where, plan in scenario.written_plans:
        if not plan.changes_shape:
            continue
        key = f"{where}.width" if plan.width < 1 else where
        got = "'auto', which may remove channels," if plan.auto else plan.label
        if not (strategy.mean or strategy.overlaps):
            yield Violation(
                key,
                f"got {got} with strategy {strategy.name!r}, which cannot compare clients of different shapes",
                "write 'strategy: fedavg' or another mean, or give every device the full width",
                ("training.strategy",),
            )
        if privacy.central:
            yield Violation(
                key,
                f"got {got} with {privacy.mechanism!r}: a channel that few devices train is covered less than stated",
                "give every device the full width, or remove the privacy section",
                ("privacy",),
            )


def _techniques_fit_the_task(scenario: Sections) -> Iterator[Violation]:
    """A technique that asks for a net, or for layers, asks it of all devices: the task has to say the same."""
    task = scenario.task
    if task is None:
        return
    for where, plan in scenario.written_plans:
        for place, named in enumerate(plan.techniques):
            if wanted := named.missing(task):
                yield Violation(
                    f"{where}.techniques.{place}",
                    f"got {named.name!r}, which changes the net that all devices train, but the task does not say so",
                    f"write 'task: {{{wanted}}}'",
                    ("task.model", "task.layers"),
                )


def _memory_needs_fixed_coordinates(scenario: Sections) -> Iterator[Violation]:
    for where, plan in scenario.written_plans:
        feedback = scenario.wire.error_feedback if plan.error_feedback is None else plan.error_feedback
        if feedback and getattr(plan.structure, "moves", False):
            yield Violation(
                f"{where}.structure",
                f"got {plan.label!r} with error feedback, but its coordinates mean something else every round",
                "write 'error_feedback: false' in this plan",
                ("wire.error_feedback",),
            )


def _rule_can_be_reached(scenario: Sections) -> Iterator[Violation]:
    seen: dict[str, int] = {}
    for index, rule in enumerate(scenario.clients):
        who = rule.for_.who
        if rule.when is not None and not ("any" in seen or who in seen):
            continue  # holds now and then, and leaves its devices to later rules
        if "any" in seen or who in seen:
            earlier = seen.get("any", seen.get(who))
            yield Violation(
                f"clients.{index}.for",
                f"got {who!r}, whose devices rule {earlier} already has (the first rule that fits holds)",
                "remove one of them, or move this one up",
            )
        seen.setdefault(who, index)


def _rule_names_a_profile(scenario: Sections) -> Iterator[Violation]:
    wanted = [(index, rule.for_.profile) for index, rule in enumerate(scenario.clients) if rule.for_.profile]
    if not wanted:
        return
    known = {*names.profiles(), *(names.profile_name(key) for key in scenario.fleet.mix)}
    for index, profile in wanted:
        if profile not in known:
            guess = nearest(profile, known)
            yield Violation(
                f"clients.{index}.for.profile",
                f"got {profile!r}, which is no device profile and in no file of the mix",
                f"write '{guess}'" if guess else "see `fedlite devices list`",
                ("fleet.mix",),
            )


def _feedback_needs_loss(scenario: Sections) -> Iterator[Violation]:
    from fedlite.wire import sends_update

    wire = scenario.wire
    if (
        wire.error_feedback
        and not sends_update(wire.up)
        and not any(sends_update(plan.uplink(wire.up)) for _, plan in scenario.written_plans)
    ):
        yield Violation(
            "wire.error_feedback",
            f"got true with 'up: {'+'.join(wire.up)}', which sends weights and leaves no error to feed back",
            "remove it, or write a lossy codec such as 'up: topk:0.1'",
            ("wire.up", "clients"),
        )
    for where, plan in scenario.written_plans:
        up = plan.uplink(wire.up)
        key = _feedback_key(plan)
        if key is not None and not sends_update(up):
            yield Violation(
                f"{where}.{key}",
                f"got error feedback with 'up: {'+'.join(up)}', which sends weights and leaves no error to feed back",
                "remove it, or write a lossy codec such as 'up: topk:0.1'",
                ("wire.up",),
            )


LAWS: Final[tuple[Law, ...]] = (
    _cohort_fits_fleet,
    _first_is_asked,
    _asynchronous_has_no_rounds,
    _buffer_can_fill,
    _byzantine_bounds,
    _proximal_term_is_told_once,
    _momentum_needs_sgd,
    _sums_need_a_mean,
    _noise_needs_a_mean,
    _count_leaves_room_for_noise,
    _clipped_stays_clipped,
    _slices_need_overlap,
    _techniques_fit_the_task,
    _memory_needs_fixed_coordinates,
    _rule_can_be_reached,
    _rule_names_a_profile,
    _feedback_needs_loss,
    *SECURE_AGGREGATION_LAWS,
    adversary_can_see,
    *TASK_LAWS,
)
