"""A server that is handed one noisy mean: what one owner can move, what noise there is, and what is published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg

from fedlite.client.job import EQUAL_WEIGHT, EXAMPLES, TRAIN_LOSS
from fedlite.flower import compat
from fedlite.flower.post import FIRST_NODE_ID
from fedlite.flower.private_mean import BudgetSpentError, Guard, PrivateMean
from fedlite.flower.records import averageable, from_record, to_record
from fedlite.privacy.adaptive import AdaptiveNorm, update_noise
from fedlite.privacy.samplers import Draw

DEVICES, OWNERS, COHORT = 12, 6, 4
NAMES = ("weight", "bias", "counter")
START = [np.full((3, 2), 0.5, np.float32), np.zeros(4, np.float32), np.array(7)]
FLAT = 10  # floating numbers of the model
GUARD = Guard(
    noise_multiplier=0.0,
    sum_noise=0.0,
    norm=1.0,
    on_client=False,
    sampling="none",
    draw=Draw(OWNERS, COHORT),
    owner_of=np.arange(DEVICES) % OWNERS,
    askable=np.ones(DEVICES, dtype=bool),
    seed=5,
)


class Nodes:
    """All devices that are there."""

    def __init__(self, missing=()):
        self.ids = [FIRST_NODE_ID + device for device in range(DEVICES) if device not in missing]

    def get_node_ids(self):
        return self.ids


@pytest.fixture(autouse=True)
def _server():
    compat.become_server(1)


def served(inner=FedAvg, **changes):
    sampled = changes.get("sampling", "none") != "none"
    nodes = 1 if sampled else COHORT
    strategy = inner(
        fraction_train=1.0 if sampled else 1e-9,
        fraction_evaluate=0.0,
        min_train_nodes=nodes,
        min_available_nodes=nodes,
        weighted_by_key=EQUAL_WEIGHT,
    )
    return PrivateMean(strategy, replace(GUARD, **changes))


def reply(device, update, *, clipped=None, loss=1.0):
    """One device's reply: the start plus the same number in all places, or an error."""
    asked = Message(RecordDict(), FIRST_NODE_ID + device, "train")
    compat.set_ids(asked, str(device), 1)
    if update is None:
        return Message(Error(0, "dead"), reply_to=asked)
    arrays = [start + np.asarray(update, start.dtype) for start in START[:2]] + START[2:]
    metrics = {EXAMPLES: 10, EQUAL_WEIGHT: 1.0, TRAIN_LOSS: loss}
    if clipped is not None:
        metrics[compat.NORM_BIT_KEY] = clipped
    content = RecordDict({"arrays": to_record(NAMES, averageable(arrays)), "metrics": MetricRecord(metrics)})
    return Message(content, reply_to=asked)


def moved(strategy, replies, round_=1):
    """By how much one round moves the floating numbers of the model, flat."""
    with compat.seeded_globals(1), compat.quiet_logs():
        strategy.configure_train(round_, to_record(NAMES, START), ConfigRecord(), Nodes())
        arrays, _ = strategy.aggregate_train(round_, replies)
    found = from_record(arrays)
    assert float(found[2]) == 7.0, "a counter has no voice"
    return np.concatenate([(new - old).ravel() for new, old in zip(found[:2], START[:2], strict=True)])


def test_without_noise_and_below_the_norm_it_is_the_sum_over_the_planned_cohort():
    step = 0.1 / np.sqrt(FLAT)
    assert moved(served(), [reply(0, step), reply(1, -3 * step)]) == pytest.approx(np.full(FLAT, -2 * step / COHORT))


@pytest.mark.parametrize("huge", [1e6, -1e6])
def test_one_owner_moves_the_sum_by_at_most_the_norm_on_however_many_devices(huge):
    others = [reply(0, 0.01), reply(1, 0.02)]
    without = moved(served(), others)
    for mine in ([2], [2, 8], [8]):  # device 8 has the same owner as device 2
        change = moved(served(), [*others, *(reply(device, huge) for device in mine)]) - without
        assert np.linalg.norm(change) * COHORT == pytest.approx(1.0, rel=1e-5)


def test_two_devices_of_one_owner_have_one_voice():
    assert moved(served(), [reply(2, 0.01), reply(8, 0.03)]) == pytest.approx(np.full(FLAT, 0.02 / COHORT), rel=1e-4)


def test_devices_are_not_trusted_to_have_clipped():
    assert np.linalg.norm(moved(served(on_client=True), [reply(0, 5.0, clipped=0)])) * COHORT == pytest.approx(1.0)


def test_the_noise_is_that_of_the_plan_whoever_replies():
    big = [np.zeros((200, 200), np.float32), np.zeros(4, np.float32), np.array(7)]
    deviations = []
    for count in (1, 4):
        strategy = served(sum_noise=1.5, norm=2.0)
        with compat.seeded_globals(1), compat.quiet_logs():
            strategy.configure_train(1, to_record(NAMES, big), ConfigRecord(), Nodes())
            answers = [reply(device, 0.0) for device in range(count)]
            for answer in answers:
                answer.content["arrays"] = to_record(NAMES, averageable(big))
            arrays, _ = strategy.aggregate_train(1, answers)
        deviations.append(from_record(arrays)[0].std())
    assert deviations == pytest.approx([1.5 * 2.0 / COHORT] * 2, rel=0.02)


def test_errors_and_silence_cost_no_round():
    answers = [reply(0, 0.1 / np.sqrt(FLAT)), reply(1, None), reply(2, None)]
    strategy = served()
    assert moved(strategy, answers) == pytest.approx(np.full(FLAT, 0.1 / np.sqrt(FLAT) / COHORT))
    [release] = strategy.releases
    assert (release.drawn, release.replied) == (COHORT, 1)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_no_number_is_as_good_as_missing(broken):
    strategy = served()
    assert np.isfinite(moved(strategy, [reply(0, 0.01), reply(1, broken)])).all()
    assert strategy.releases[0].replied == 1


def test_every_round_has_noise_of_its_own_and_a_seed_repeats_it():
    def noise(round_, **changes):
        return moved(served(sum_noise=1.0, **changes), [reply(0, 0.0)], round_)

    assert np.array_equal(noise(1), noise(1))
    assert not np.allclose(noise(1), noise(2))
    assert not np.allclose(noise(1), noise(1, seed=6))


def test_a_strategy_of_any_step_sees_the_noisy_mean_and_nothing_else():
    seen = []

    class Curious(FedAdam):
        def aggregate_train(self, server_round, replies):
            seen.extend(replies)
            return super().aggregate_train(server_round, seen)

    moved(served(Curious, sum_noise=1.0), [reply(0, 0.1), reply(1, 0.1)])
    [one] = seen
    told = from_record(one.content["arrays"])[0]
    assert np.ptp(told) > 0.1, "noisy"


def test_nobody_replied_and_nothing_is_published():
    strategy = served(sum_noise=1.0)
    with compat.seeded_globals(1), compat.quiet_logs():
        strategy.configure_train(1, to_record(NAMES, START), ConfigRecord(), Nodes())
        assert strategy.aggregate_train(1, [reply(0, None)]) == (None, None)
    assert strategy.releases == []


def test_an_empty_draw_publishes_noise_and_asks_nobody():
    strategy = served(sampling="poisson", draw=Draw(OWNERS, 1e-9), sum_noise=1e-9, noise_multiplier=1e-9)
    with compat.seeded_globals(1), compat.quiet_logs():
        assert strategy.configure_train(1, to_record(NAMES, START), ConfigRecord(), Nodes()) == []
        arrays, _ = strategy.aggregate_train(1, [])
    assert np.ptp(from_record(arrays)[0]) > 0
    assert [(release.drawn, release.replied) for release in strategy.releases] == [(0, 0)]


def test_those_drawn_are_asked_if_they_are_there():
    asked = {}
    for missing in ((), (0, 6)):
        strategy = served(sampling="fixed", draw=Draw(OWNERS, OWNERS))
        with compat.seeded_globals(1), compat.quiet_logs():
            messages = strategy.configure_train(1, to_record(NAMES, START), ConfigRecord(), Nodes(missing))
        asked[missing] = sorted(message.metadata.dst_node_id - FIRST_NODE_ID for message in messages)
    everybody = {device % OWNERS for device in asked[()]}
    assert everybody == set(range(OWNERS))
    assert len(asked[()]) == OWNERS, "one device each"
    assert asked[(0, 6)] == [device for device in asked[()] if device % OWNERS]


def test_clients_that_clip_are_told_the_norm_and_it_follows_their_bits():
    adapts = AdaptiveNorm(0.5, 0.2, 0.0)
    strategy = served(on_client=True, adapts=adapts)
    config = ConfigRecord()
    with compat.seeded_globals(1), compat.quiet_logs():
        strategy.configure_train(1, to_record(NAMES, START), config, Nodes())
        assert config[compat.CLIPPING_NORM_KEY] == 1.0
        strategy.aggregate_train(1, [reply(device, 0.0, clipped=1) for device in range(COHORT)])
        strategy.configure_train(2, to_record(NAMES, START), config, Nodes())
    # All were clipped, so that the norm grows: Andrew et al. 2021 count those that were not.
    assert config[compat.CLIPPING_NORM_KEY] == strategy.norm == pytest.approx(np.exp(0.2 * 0.5))
    assert strategy.releases[0].clipping_norm == 1.0


def test_a_server_that_clips_counts_by_its_own_norm():
    strategy = served(adapts=AdaptiveNorm(0.5, 0.2, 0.0))
    moved(strategy, [reply(device, 0.0) for device in range(COHORT)])
    assert strategy.norm == pytest.approx(np.exp(-0.2 * 0.5))


def test_the_count_is_noisy_and_pays_for_it():
    strategy = served(adapts=AdaptiveNorm(0.5, 0.2, 2.0), noise_multiplier=1.0, sum_noise=update_noise(1.0, 2.0))
    moved(strategy, [reply(device, 0.0) for device in range(COHORT)])
    assert strategy.norm != pytest.approx(np.exp(-0.2 * 0.5))
    assert strategy.releases[0].noise_multiplier == 1.0


def test_the_budget_without_amplification_holds_before_a_round_is_published_from_which_somebody_is_missing():
    strategy = served(sampling="fixed", draw=Draw(OWNERS, 3), limit=5, bare_limit=2)
    for round_ in (1, 2):
        with compat.seeded_globals(1), compat.quiet_logs():
            asked = list(strategy.configure_train(round_, to_record(NAMES, START), ConfigRecord(), Nodes()))
            devices = [message.metadata.dst_node_id - FIRST_NODE_ID for message in asked]
            strategy.aggregate_train(round_, [reply(device, 0.1) for device in devices])
    with compat.seeded_globals(1), compat.quiet_logs():
        asked = list(strategy.configure_train(3, to_record(NAMES, START), ConfigRecord(), Nodes()))
        devices = [message.metadata.dst_node_id - FIRST_NODE_ID for message in asked]
        with pytest.raises(BudgetSpentError):
            strategy.aggregate_train(3, [reply(device, 0.1) for device in devices[1:]])
    assert [release.replied for release in strategy.releases] == [3, 3]


def test_a_round_of_which_nobody_is_there_waits_for_anybody_and_asks_nobody():
    class Night(Nodes):
        looks = 0

        def get_node_ids(self):
            self.looks += 1
            return self.ids[:1] if self.looks > 3 else []

    night = Night()
    strategy = served(sampling="fixed", draw=Draw(OWNERS, 2), askable=np.arange(DEVICES) % OWNERS > 0)
    with compat.seeded_globals(1), compat.quiet_logs(), compat.virtual_sleep(lambda: None):
        assert strategy.configure_train(1, to_record(NAMES, START), ConfigRecord(), night) == []
    assert night.looks == 4


def test_the_budget_ends_the_run_before_the_release_that_would_exceed_it():
    strategy = served(limit=2)
    for round_ in (1, 2):
        moved(strategy, [reply(0, 0.1)], round_)
    with pytest.raises(BudgetSpentError, match=r"privacy\.max_epsilon: 2 releases"):
        strategy.configure_train(3, to_record(NAMES, START), ConfigRecord(), Nodes())
    assert len(strategy.releases) == 2


def test_noise_of_a_tree_is_for_those_who_were_not_asked_in_it():
    strategy = served(longest=OWNERS // 2, draw=Draw(OWNERS, 2), sum_noise=1.0)
    strategy.strategy.min_train_nodes = strategy.strategy.min_available_nodes = 2
    asked = []
    for round_ in range(1, 8):
        with compat.seeded_globals(round_), compat.quiet_logs():
            messages = strategy.configure_train(round_, to_record(NAMES, START), ConfigRecord(), Nodes())
            devices = [message.metadata.dst_node_id - FIRST_NODE_ID for message in messages]
            strategy.aggregate_train(round_, [reply(device, 0.0) for device in devices])
        asked.append([device % OWNERS for device in devices])
    assert [release.tree for release in strategy.releases] == [0, 0, 0, 1, 1, 1, 2]
    for tree in (asked[:3], asked[3:6]):
        assert sorted(owner for owners in tree for owner in owners) == list(range(OWNERS))


def test_the_noise_of_a_tree_is_taken_back_where_a_node_takes_its_place():
    def total(**changes):
        strategy = served(draw=Draw(OWNERS, 1), sum_noise=1.0, **changes)
        strategy.strategy.min_train_nodes = strategy.strategy.min_available_nodes = 1
        big = [np.zeros((300, 100), np.float32), np.zeros(4, np.float32), np.array(7)]
        steps = []
        for round_ in range(1, 5):
            answer = reply(0, 0.0)
            answer.content["arrays"] = to_record(NAMES, averageable(big))
            with compat.seeded_globals(1), compat.quiet_logs():
                strategy.configure_train(round_, to_record(NAMES, big), ConfigRecord(), Nodes())
                arrays, _ = strategy.aggregate_train(round_, [answer])
            steps.append(from_record(arrays)[0])
        return np.var(sum(steps))

    # After four rounds one node stands for all of them.
    assert total(longest=OWNERS) == pytest.approx(1.0, rel=0.05)
    assert total() == pytest.approx(4.0, rel=0.05)
