"""Shares, neighbours, levels, and the chance that a round is lost."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest

from fedlite.privacy.secagg import abort, fixed_point, shamir
from fedlite.privacy.secagg.errors import ForgedShareError
from fedlite.privacy.secagg.graph import ring
from fedlite.rng import stream

draws = partial(stream, 9, "secagg parts")
SECRET = bytes(range(224, 256))


# -- shares -----------------------------------------------------------------------------------------------------------


def test_any_shares_as_many_as_the_threshold_find_the_secret():
    points = [1, 2, 5, 7, 1_000_000]
    shares = shamir.split(SECRET, points, 3, draws("shares"))
    for chosen in combinations(range(5), 3):
        assert shamir.combine([points[i] for i in chosen], shares[list(chosen)]) == SECRET


def test_shares_below_the_threshold_are_consistent_with_every_secret():
    points = [3, 8]
    two = shamir.split(SECRET, points, 3, draws("shares"))
    for other in (bytes(32), SECRET[::-1], b"\xff" * 32):
        # The polynomial through the two shares and the other secret at 0 is one that could have been drawn.
        at_zero = shamir._limbs(other)
        third = _through([0, *points], np.vstack((at_zero, two)), 12)
        assert shamir.combine([*points, 12], np.vstack((two, third))) == other


def test_one_share_is_uniform_whatever_the_secret():
    shares = np.concatenate([shamir.split(bytes(32), [4], 2, draws("one", i)).ravel() for i in range(300)])
    assert abs(shares.mean() / shamir.PRIME - 0.5) < 5 * np.sqrt(1 / 12 / shares.size)
    assert abs(np.var(shares / shamir.PRIME) - 1 / 12) < 0.01


def test_shares_of_no_secret_are_refused():
    shares = shamir.split(SECRET, [1, 2, 3], 3, draws("shares"))
    with pytest.raises(ForgedShareError, match="expected those of one"):
        shamir.combine([1, 2, 4], shares)
    with pytest.raises(ForgedShareError, match="each once"):
        shamir.combine([1, 1, 2], shares)


def _through(points, values, at):
    """Return the value at a point of the polynomials through these, by Lagrange in whole numbers."""
    total = [0] * values.shape[1]
    for i, own in enumerate(points):
        weight = 1
        for j, other in enumerate(points):
            if i != j:
                weight = weight * (at - other) * pow(own - other, -1, shamir.PRIME) % shamir.PRIME
        total = [(sum_ + weight * int(value)) % shamir.PRIME for sum_, value in zip(total, values[i], strict=True)]
    return np.array(total, np.uint64)


# -- neighbours -------------------------------------------------------------------------------------------------------


def test_neighbourhood_is_mutual_regular_and_of_members_only():
    members = [2, 3, 5, 7, 11, 13, 17, 19, 23]
    graph = ring(members, 4, draws("graph"))
    assert ring(members[::-1], 4, draws("graph")) == graph
    assert ring(members, 4, draws("another")) != graph
    assert sorted(graph) == members
    for member, peers in graph.items():
        assert len(peers) == 4
        assert member not in peers
        assert all(member in graph[peer] for peer in peers)


def test_few_members_are_all_neighbours():
    assert ring([4, 1, 9], 6, draws("graph")) == {4: (1, 9), 1: (4, 9), 9: (1, 4)}


# -- levels -----------------------------------------------------------------------------------------------------------


def test_levels_are_clipped_and_right_on_average():
    ends = fixed_point.levels(np.array([-9.0, -1.0, 1.0, 9.0]), 1.0, 4, draws("rounding"))
    assert ends.tolist() == [0, 0, 14, 14]
    many = fixed_point.levels(np.full(40_000, 0.1), 1.0, 4, draws("rounding"))
    mean = fixed_point.total(many.sum(dtype=np.uint64, keepdims=True), many.size, 1.0, 4)[0] / many.size
    assert mean == pytest.approx(0.1, abs=5 * 0.5 * fixed_point.step(1.0, 4) / 200)
    assert set(many.tolist()) == {7, 8}


def test_levels_without_draws_are_those_nearer_to_zero_which_is_a_level():
    values = np.array([-0.99, -0.1, 0.0, 0.1, 0.99])
    near = fixed_point.levels(values, 1.0, 4, None)
    back = np.array([fixed_point.total(level, 1, 1.0, 4) for level in near])
    assert near.tolist() == [1, 7, 7, 7, 13]
    assert (np.abs(back) <= np.abs(values)).all()
    assert back[2] == 0.0


# -- the chance of losing a round -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clients", "holders", "threshold", "drop", "chance"),
    [
        (10, 10, 5, 0.3, 0.0485),
        (10, 5, 3, 0.2, 0.213),
        (50, 15, 8, 0.3, 0.389),
        (100, 33, 17, 0.3, 0.107),
        (100, 33, 22, 0.2, 0.215),
        (100, 100, 67, 0.3, 0.224),
        (1000, 51, 26, 0.3, 0.165),
    ],
)
def test_the_chance_that_a_round_is_lost_is_bounded_and_near_what_others_measured(
    clients, holders, threshold, drop, chance
):
    rounds = 1500
    seen = abort.estimated(clients, holders, threshold, drop, draws("abort"), rounds)
    # Both are frequencies, the other one of at least 2,000 rounds.
    assert seen == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) * (1 / rounds + 1 / 2000)))
    bound = abort.most_likely(clients, holders, threshold, drop)
    assert chance - 4 * np.sqrt(chance * (1 - chance) / 2000) < bound < 2 * chance + 0.01


def test_the_chance_is_exact_where_all_hold_shares_of_all():
    left = (np.arange(2**8)[:, None] >> np.arange(8) & 1).astype(bool)
    weight = np.where(left, 0.75, 0.25).prod(axis=1)
    assert abort.most_likely(8, 8, 5, 0.25) == pytest.approx(weight[abort.lost(left, 8, 5)].sum())


def test_the_bound_holds_on_a_ring_that_is_counted_out():
    left = (np.arange(2**12)[:, None] >> np.arange(12) & 1).astype(bool)
    for drop in (0.1, 0.3, 0.6):
        weight = np.where(left, 1 - drop, drop).prod(axis=1)
        exact = weight[abort.lost(left, 5, 3)].sum()
        assert exact <= abort.most_likely(12, 5, 3, drop) <= min(1, 1.6 * exact)
