"""Architecture search: the space, evolution against the exhaustive oracle, rank correlation, all of it on digits."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import kendalltau

from fedlite.compose.bench import Bench
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compose.trials import Trials
from fedlite.compression.part import PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.full import FULL
from fedlite.compression.structure.subnet import Subnet, Supernet
from fedlite.devices.compute import inference_s
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.planning.agreement import agreement, tau_b
from fedlite.planning.evolution import Best, Evolution, SearchError, evolve, exhaustive
from fedlite.planning.search_space import Space
from fedlite.pricing import Job, price
from fedlite.rng import stream
from fedlite.scenario.profiles import load_profile
from fedlite.techniques import technique
from fedlite.techniques.architectures import SPACE, ArchitectureSearch, Budgets, member
from fedlite.techniques.technique import Recipe

LARGE = Space(tuple((name, tuple(range(8))) for name in "abcd"))
"""4,096 nets, of which evolution sees some hundred."""


def hill(choice):
    """One summit, at 5 of everything."""
    return -sum((value - 5) ** 2 for _, value in choice)


def test_a_space_has_every_net_once_and_draws_each_alike():
    assert len(SPACE) == 36 == len(set(SPACE.choices()))
    assert dict(SPACE.largest) == {"blocks": 3, "channels": 24, "kernel": 5, "expansion": 3}
    dice = stream(1, "draws")
    counts = Counter(SPACE.drawn(dice) for _ in range(7200))
    assert set(counts) == set(SPACE.choices())
    assert all(130 < count < 280 for count in counts.values())
    for _ in range(200):
        start = SPACE.drawn(dice)
        moved = SPACE.mutated(start, dice)
        assert sum(a != b for a, b in zip(start, moved, strict=True)) == 1
        assert moved in SPACE.choices()
    alone = Space((("a", (3,)),))
    assert alone.mutated(alone.largest, dice) == alone.largest
    with pytest.raises(PartError, match=r"axes: got \[2, 2\]"):
        Space((("a", (2, 2)),))


def test_evolution_climbs_and_sees_little_of_the_space():
    found = [evolve(LARGE, hill, lambda _: True, stream(seed, "evolution"), Evolution(16, 6, 250)) for seed in range(5)]
    assert all(one.score >= -2 for one in found)
    assert all(one.asked < 260 for one in found)
    dice = stream(9, "drawn")
    by_chance = [max(hill(LARGE.drawn(dice)) for _ in range(260)) for _ in range(5)]
    assert np.mean([one.score for one in found]) > np.mean(by_chance)
    assert exhaustive(LARGE, hill, lambda _: True) == Best((("a", 5), ("b", 5), ("c", 5), ("d", 5)), 0, 4096)


def test_nothing_that_does_not_fit_is_even_looked_at():
    """The summit is forbidden: both find the best of what is left."""

    def fits(choice):
        return sum(value for _, value in choice) <= 14

    def only_fitting(choice):
        assert fits(choice)
        return hill(choice)

    best = exhaustive(LARGE, only_fitting, fits)
    assert fits(best.choice)
    assert best.score < 0
    for seed in range(5):
        found = evolve(LARGE, only_fitting, fits, stream(seed, "evolution"), Evolution(16, 6, 250))
        assert fits(found.choice)
        assert found.score >= best.score - 2


def test_the_same_stream_finds_the_same_and_nobody_is_asked_twice():
    asked = Counter()

    def score(choice):
        asked[choice] += 1
        return hill(choice)

    one, two = (evolve(LARGE, score, lambda _: True, stream(4, "evolution"), Evolution()) for _ in range(2))
    assert one == two
    assert set(asked.values()) == {2}
    assert evolve(LARGE, hill, lambda _: True, stream(5, "evolution"), Evolution()) != one


def test_a_constraint_that_nobody_meets_is_told():
    with pytest.raises(SearchError, match="none of 36 nets was found to meet"):
        evolve(SPACE, lambda _: 0.0, lambda _: False, stream(0, "x"), Evolution())
    with pytest.raises(SearchError, match="none of 36 nets meets"):
        exhaustive(SPACE, lambda _: 0.0, lambda _: False)
    with pytest.raises(SearchError, match="cycles: got 0, expected 1 or more"):
        Evolution(cycles=0)


@pytest.mark.parametrize("seed", range(4))
def test_tau_is_that_of_a_library_ties_included(seed):
    dice = stream(seed, "ranks")
    a, b = dice.integers(5, size=20).astype(float), dice.normal(size=20)
    assert tau_b(a, b) == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)


def test_the_interval_holds_the_value_and_narrows_with_more_nets():
    dice = stream(2, "judges")
    first = dice.normal(size=400)
    second = first + 0.8 * dice.normal(size=400)
    few, many = (agreement(first[:n], second[:n], stream(0, "bootstrap")) for n in (12, 400))
    assert few.low < few.tau < few.high
    assert many.low < many.tau < many.high
    assert many.high - many.low < 0.4 * (few.high - few.low)
    assert (agreement([1, 2, 3], [3, 4, 5], dice).tau, agreement([1, 2, 3], [5, 4, 3], dice).tau) == (1.0, -1.0)
    assert math.isnan(agreement([1, 1, 1], [1, 2, 3], dice).tau)
    # Two nets are in one order or the other: that tells nothing.
    two = agreement([1, 2], [3, 4], dice)
    assert (two.tau, two.low, two.high) == (1.0, -1.0, 1.0)


SMALL = Effort(rows=1200, epochs=3, rounds=2)
TASK = bench_task("digits", ("elastic",), SMALL)
FEW = Space((("blocks", (1, 2)), ("channels", (8, 16, 24)), ("kernel", (3, 5)), ("expansion", (2,))))


def trials(device="pi-4b"):
    return Trials(Bench("elastic", TASK, SMALL), load_profile(device), SMALL.batch)


@pytest.fixture(scope="module")
def searched():
    """A budget that the largest two thirds of the nets exceed on a microcontroller."""
    search = ArchitectureSearch(
        Budgets(latency_ms=6.0),
        ("pi-4b", "nrf52840"),
        rounds=25,
        alone=len(FEW),
        evolution=Evolution(6, 3, 12),
        space=FEW,
    )
    return search.find(trials("esp32-s3"))


def test_what_is_found_meets_the_constraint_and_is_among_the_best_of_the_oracle(searched):
    recipe, facts = searched
    spec = spec_of("elastic", TASK.data.input_shape, 10, SMALL.seed, **dict(recipe.options))
    latency = inference_s(load_profile("esp32-s3"), trace(spec.build(), spec.input_shape, name="elastic"))
    assert 1e3 * float(latency.value) == pytest.approx(facts["architecture"]["latency_ms"])
    assert facts["architecture"]["latency_ms"] <= 6.0
    fitting = sum(trials("esp32-s3").weigh(member(choice))["latency_ms"] <= 6.0 for choice in FEW.choices())
    assert 4 <= fitting < len(FEW)
    assert facts["oracle"]["better_than_found"] <= 2 < fitting
    assert facts["oracle"]["loss"] <= facts["oracle"]["found_loss"]


def test_the_order_of_the_supernet_is_measured_and_every_class_has_its_own_net(searched):
    _, facts = searched
    order = facts["rank_correlation"]
    assert order["nets"] == len(FEW)
    assert 0.3 < order["tau"] <= 1
    assert order["low"] <= order["tau"] <= order["high"]
    board, chip = facts["architectures"]["pi-4b"], facts["architectures"]["nrf52840"]
    assert max(board["latency_ms"], chip["latency_ms"]) <= 6.0
    assert chip["macs"] < facts["architecture"]["macs"] < board["macs"]
    cost = facts["search_cost"]
    assert 0 < cost["supernet_device_h"] < cost["alone_device_h"] * 3
    assert cost["supernet_device_j"] > 0 < cost["alone_device_j"]


def test_the_same_seed_gives_the_same_answer_and_another_one_other_numbers():
    def told(seed):
        search = ArchitectureSearch(Budgets(), rounds=2, alone=2, evolution=Evolution(4, 2, 4), space=FEW, seed=seed)
        return search.find(trials())

    first = told(1)
    assert first == told(1)
    assert first[1]["rank_correlation"]["nets"] == 2
    assert "oracle" not in first[1]
    assert first[1]["architecture"] != told(2)[1]["architecture"]


def test_hours_and_joules_are_those_of_the_jobs():
    own, board = trials(), load_profile("pi-4b")
    axes = (("blocks", (1, 2)),)
    trial = own.train(Recipe(Plan("s", Supernet(axes)), model="elastic", options=(("blocks", 2), ("channels", 8))), 3)
    spec = spec_of("elastic", TASK.data.input_shape, 10, SMALL.seed, blocks=2, channels=8)
    seconds = 0.0
    for round_ in (1, 2, 3):
        for client, rows in enumerate(TASK.shares):
            net = Supernet(axes).at(round_, client).build(spec)
            job = Job(float(len(rows)), float(math.ceil(len(rows) / SMALL.batch)), SMALL.batch, "adam")
            seconds += price(board, Plan(), trace(net, spec.input_shape, name="elastic"), job).time_s
    assert trial.device_s == pytest.approx(seconds)
    before = trial.device_j
    assert trial.held() == trial.held(FULL)
    tested = len(TASK.held) * float(inference_s(board, trace(spec.build(), spec.input_shape, name="elastic")).value)
    assert trial.device_s == pytest.approx(seconds + tested)
    assert trial.device_j / before == pytest.approx(trial.device_s / seconds)
    assert own.tried == 1
    smaller = trial.held(Subnet((("blocks", 1),)))
    assert smaller["loss"] != trial.held()["loss"]


def test_a_net_is_weighed_as_it_would_be_shipped():
    own = trials()
    takes = own.weigh(Recipe(model="elastic", options=(("blocks", 1), ("channels", 8))))
    measured = own.measure(Recipe(model="elastic", options=(("blocks", 1), ("channels", 8))))
    assert takes["stored_bytes"] == measured["stored_bytes"]
    assert takes["latency_ms"] == pytest.approx(measured["latency_ms"]["value"])
    assert takes["inference_memory_bytes"] == pytest.approx(measured["inference_memory_bytes"]["value"])
    assert (takes["params"], takes["macs"]) == (measured["params"], measured["macs"])


def test_budgets_that_nothing_meets_and_options_out_of_range_are_refused():
    search = ArchitectureSearch(Budgets(latency_ms=0.1), ("esp32-s3",), rounds=1, alone=2, space=FEW)
    with pytest.raises(
        PartError,
        match=r"no net is within; the nearest, blocks 1, channels 8, kernel 3.* takes latency_ms .* of .*; allow more",
    ):
        search.find(trials())
    for name, value in (("rounds", 0), ("alone", 1)):
        with pytest.raises(PartError, match=rf"{name}: got {value}, expected . or more"):
            technique("architecture-search").made({name: value})
    told = ArchitectureSearch(Budgets(latency_ms=1.5), ("nrf52840",), rounds=1, alone=2, space=FEW).find(trials())[1]
    assert "no net is within" in told["architectures"]["nrf52840"]["none"]
    assert np.isfinite(told["architecture"]["latency_ms"])
