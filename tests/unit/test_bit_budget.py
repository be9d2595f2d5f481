"""The choice of bits under a budget is the best of all choices, found by trying every one."""

import itertools
import math

import pytest

from fedlite.planning.bit_budget import BudgetError, LayerWidths, choose, packed_bytes, sweep
from fedlite.rng import stream

WIDTHS = (2, 4, 8)


def random_layers(count, seed):
    rng = stream(seed, "layers")
    return [
        LayerWidths(
            f"layer {i}", int(rng.integers(3, 400)), {bits: float(rng.normal(1 / bits, 0.2)) for bits in WIDTHS}
        )
        for i in range(count)
    ]


def best_of_all(layers, budget):
    """Every choice tried; the oracle."""
    tried = (
        (sum(layer.losses[b] for layer, b in zip(layers, bits, strict=True)), size)
        for bits in itertools.product(WIDTHS, repeat=len(layers))
        if (size := sum(math.ceil(layer.weights * b / 8) for layer, b in zip(layers, bits, strict=True))) <= budget
    )
    return min(tried)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_choice_is_the_best_of_all(seed, share):
    layers = random_layers(1 + seed % 7, seed)
    least, most = (sum(layer.payload_bytes(bits) for layer in layers) for bits in (2, 8))
    budget = least + share * (most - least)
    found, (loss, _) = choose(layers, budget), best_of_all(layers, budget)
    assert found.exact
    assert found.payload_bytes <= budget
    assert found.loss == pytest.approx(loss, abs=1e-12)
    assert found.loss == pytest.approx(sum(layer.losses[found.bits[layer.name]] for layer in layers), abs=1e-12)
    assert found.payload_bytes == sum(layer.payload_bytes(found.bits[layer.name]) for layer in layers)


@pytest.mark.parametrize("seed", range(10))
def test_the_greedy_choice_is_within_the_budget_no_better_than_the_best_and_says_so(seed):
    layers = random_layers(6, seed)
    budget = 0.5 * sum(layer.payload_bytes(8) for layer in layers)
    greedy, exact = choose(layers, budget, most_partial=0), choose(layers, budget)
    assert not greedy.exact
    assert greedy.payload_bytes <= budget
    assert greedy.loss >= exact.loss - 1e-12


def test_a_hundred_layers_are_chosen_for():
    layers = random_layers(100, 1)
    found = choose(layers, 0.5 * sum(layer.payload_bytes(8) for layer in layers))
    assert len(found.bits) == 100
    assert found.payload_bytes <= 0.5 * sum(layer.payload_bytes(8) for layer in layers)


def test_where_losses_are_equal_fewer_bytes_win():
    layer = LayerWidths("one", 16, {2: 0.0, 4: 0.0, 8: 0.0})
    assert choose([layer], 100).bits == {"one": 2}


def test_a_budget_that_nothing_fits_says_what_would():
    layers = [LayerWidths("one", 16, {4: 0.0, 8: 0.0}), LayerWidths("two", 5, {2: 1.0})]
    assert choose(layers, 10).payload_bytes == 10
    with pytest.raises(BudgetError, match=r"got 9 bytes, expected 10 or more"):
        choose(layers, 9)
    with pytest.raises(BudgetError, match=r"bits of one: got a loss of nan at 8 bits"):
        choose([LayerWidths("one", 16, {4: 0.0, 8: math.nan})], 100)


def test_bytes_are_those_of_packed_integers():
    assert [packed_bytes(n, bits) for n, bits in ((3, 2), (4, 2), (5, 2), (7, 8), (3, 5))] == [1, 1, 2, 7, 2]


def test_a_sweep_asks_for_each_layer_and_width_alone():
    asked = []

    def loss_of(bits):
        asked.append(dict(bits))
        return 1.0 + sum({"a": 0.5, "b": 0.1}[name] / width for name, width in bits.items())

    found = sweep(loss_of, {"a": 10, "b": 20}, (8, 2))
    assert asked == [{}, {"a": 2}, {"a": 8}, {"b": 2}, {"b": 8}]
    assert [layer.losses for layer in found] == [
        {2: pytest.approx(0.25), 8: pytest.approx(0.0625)},
        {2: pytest.approx(0.05), 8: pytest.approx(0.0125)},
    ]
    assert choose(found, packed_bytes(10, 8) + packed_bytes(20, 2)).bits == {"a": 8, "b": 2}
