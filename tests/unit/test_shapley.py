"""Shapley values against their axioms, orders told one by one, and closed forms."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlite.learning.models import build
from fedlite.planning.shapley import (
    MOST_EXACT,
    ShapleyError,
    estimated,
    exact,
    worth_of_blocks,
    worth_of_connections,
)
from fedlite.rng import stream


def worthless(_):
    return 0.0


def table(players, seed):
    """A value function without any structure, and how often it was asked for each set."""
    asked = {}
    draw = np.random.default_rng(seed)
    worth = draw.normal(size=2**players)

    def value(members):
        asked[members] = asked.get(members, 0) + 1
        return float(worth[sum(2**player for player in members)])

    return value, asked


def one_by_one(players, value):
    """The definition: mean over all orders of what each adds to those before it."""
    total = np.zeros(players)
    for order in permutations(range(players)):
        for place, player in enumerate(order):
            total[player] += value(frozenset(order[: place + 1])) - value(frozenset(order[:place]))
    return total / factorial(players)


@pytest.mark.parametrize("players", range(1, 8))
def test_exact_values_are_those_of_all_orders(players):
    value, asked = table(players, players)
    found = exact(players, value)
    assert max(asked.values()) == 1
    assert found.asked == len(asked) == 2**players
    assert (found.errors == 0).all()
    np.testing.assert_allclose(found.values, one_by_one(players, value), rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10_000), st.integers(2, 9))
def test_what_all_add_is_what_all_are_worth(players, seed, orders):
    value, _ = table(players, seed)
    worth = value(frozenset(range(players))) - value(frozenset())
    assert exact(players, value).values.sum() == pytest.approx(worth, abs=1e-12)
    assert estimated(players, value, stream(seed, "orders"), orders).values.sum() == pytest.approx(worth, abs=1e-12)


def test_players_who_do_the_same_get_the_same_and_who_does_nothing_gets_nothing():
    def value(members):  # 0 and 1 are the two ends of one wire, 2 works alone, 3 idles
        return 5.0 * ({0, 1} <= members) + 2.0 * (2 in members)

    assert exact(4, value).values.tolist() == pytest.approx([2.5, 2.5, 2.0, 0.0], abs=1e-12)


def test_a_sum_of_games_has_the_sum_of_the_values():
    (one, _), (two, _) = table(5, 1), table(5, 2)
    both = exact(5, lambda members: one(members) + two(members)).values
    np.testing.assert_allclose(both, exact(5, one).values + exact(5, two).values, atol=1e-12)


def test_estimates_are_within_their_errors_and_errors_fall_with_the_root_of_the_orders():
    players = 8
    value, _ = table(players, 11)
    right = exact(players, value).values
    few, many = (estimated(players, value, stream(4, "orders"), orders) for orders in (100, 6400))
    for found in (few, many):
        assert (np.abs(found.values - right) < 4.5 * found.errors).all()
        assert np.abs(found.values - right).max() > 0
    assert (few.errors / many.errors).mean() == pytest.approx(8, rel=0.15)
    standardised = [(estimated(players, value, stream(seed, "orders"), 50), right) for seed in range(60)]
    scores = np.concatenate([(found.values - right) / found.errors for found, right in standardised])
    assert abs(scores.mean()) < 0.2
    assert scores.std() == pytest.approx(1, abs=0.12)


def test_estimates_ask_for_each_set_once_and_the_stream_decides():
    value, asked = table(6, 3)
    found = estimated(6, value, stream(1, "orders"), 40)
    assert max(asked.values()) == 1
    assert found.asked == len(asked) <= 2**6
    again, other = (estimated(6, value, stream(seed, "orders"), 40).values for seed in (1, 2))
    assert (again == found.values).all()
    assert (other != found.values).any()


def test_the_least_players_are_those_of_the_lowest_values():
    worth = [3.0, -1.0, 0.5, 0.5, 2.0]
    found = exact(5, lambda members: sum(worth[player] for player in members))
    assert found.least(2) == (1, 2)
    assert found.least(0) == ()
    assert found.least(5) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("players", [0, MOST_EXACT + 1])
def test_too_many_players_to_ask_for_every_set(players):
    with pytest.raises(ShapleyError, match=rf"got {players} players, expected 1 to 16 .*; group them, or draw"):
        exact(players, worthless)


@pytest.mark.parametrize(("players", "orders"), [(0, 5), (3, 1)])
def test_one_order_tells_no_error(players, orders):
    with pytest.raises(ShapleyError, match="expected at least 1 and 2"):
        estimated(players, worthless, stream(0, "orders"), orders)


def rows(shape, seed=0):
    return torch.rand(16, *shape, generator=torch.Generator().manual_seed(seed))


def test_a_block_whose_branch_gives_zero_is_worth_nothing_and_the_net_stays_as_it_is():
    net = build("resnet8", input_shape=(3, 16, 16), num_classes=5, seed=0).eval()
    with torch.no_grad():
        for part in ("weight", "bias"):
            getattr(net[4].layers[-1], part).zero_()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = rows((3, 16, 16))
    with torch.no_grad():
        wanted = net(x)

    def score(part):
        with torch.no_grad():
            return -float((part(x) - wanted).square().mean())

    names, value = worth_of_blocks(net, score)
    found = exact(len(names), value)
    assert names == ["3", "4", "5"]
    assert value(frozenset({0, 1, 2})) == 0.0
    assert found.values[1] == pytest.approx(0, abs=1e-9)
    assert (found.values[[0, 2]] > 1e-4).all()
    assert found.least(1) == (1,)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_connections_of_a_linear_net_are_worth_what_they_carry():
    net = torch.nn.Sequential(torch.nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -2.0, 0.0, 4.0]]))
    x = torch.ones(1, 4)
    value = worth_of_connections(net, "0.weight", [[0], [1, 2], [3]], lambda part: part(x).item())
    assert exact(3, value).values.tolist() == pytest.approx([1.0, -2.0, 4.0], abs=1e-12)
    assert net[0].weight.tolist() == [[1.0, -2.0, 0.0, 4.0]]


def test_connections_of_a_convolution_are_those_of_its_input_channels():
    net = build("cnn", input_shape=(2, 8, 8), num_classes=3, seed=0)
    seen = []
    value = worth_of_connections(net, "3.weight", [[i] for i in range(32)], lambda part: seen.append(part) or 0.0)
    value(frozenset(range(32)) - {5})
    kernel = seen[0].get_parameter("3.weight")
    assert (kernel[:, 5] == 0).all()
    assert torch.equal(kernel[:, 6:], net.get_parameter("3.weight")[:, 6:])


def test_what_cannot_be_left_out_is_named():
    net = build("cnn", input_shape=(1, 8, 8), num_classes=3, seed=0)
    with pytest.raises(ShapleyError, match="got a Sequential without residual blocks"):
        worth_of_blocks(net, worthless)
    with pytest.raises(ShapleyError, match=r"got the layer '0.bias', expected one of 0.weight, 3.weight"):
        worth_of_connections(net, "0.bias", [[0]], worthless)
    with pytest.raises(ShapleyError, match=r"got input 32 of '3.weight', expected 0 to 31"):
        worth_of_connections(net, "3.weight", [[0, 32]], worthless)
