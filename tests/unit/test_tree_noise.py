"""Noise of a binary tree: what a prefix has, what one round moves, and what that is worth."""

from __future__ import annotations

import numpy as np
import pytest
from dp_accounting import dp_event, gaussian_mechanism
from dp_accounting.privacy_accountant import NeighboringRelation
from dp_accounting.rdp import RdpAccountant

from fedlite.privacy.tree import combined_noise, depth, lengths_of, step_noise

SHAPES = [(2000,)]


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 7, 8, 13])
def test_a_prefix_has_one_gaussian_per_bit(rounds):
    total = sum(step_noise(3, 0, round_, SHAPES)[0] for round_ in range(1, rounds + 1))
    assert total.var() == pytest.approx(rounds.bit_count(), rel=0.15)


def test_trees_rounds_and_seeds_have_noise_of_their_own():
    kinds = [step_noise(3, 0, 5, SHAPES), step_noise(3, 1, 5, SHAPES), step_noise(4, 0, 5, SHAPES)]
    noise = np.array([kind[0] for kind in kinds])
    assert np.abs(np.corrcoef(noise)[np.triu_indices(3, 1)]).max() < 0.1
    assert np.array_equal(step_noise(3, 0, 5, SHAPES)[0], noise[0])


def test_prefixes_share_the_nodes_that_they_share():
    prefixes = np.cumsum([step_noise(3, 0, round_, [(20000,)])[0] for round_ in range(1, 9)], axis=0)
    covariance = np.cov(prefixes)
    nodes = [{(level, (t >> level) - 1 << level) for level in range(4) if t >> level & 1} for t in range(1, 9)]
    shared = np.array([[len(a & b) for b in nodes] for a in nodes])
    assert covariance == pytest.approx(shared, abs=0.06)


# Computed by dp-accounting 0.6.0, one epoch, Renyi: rounds, noise multiplier -> epsilon at 1e-6, zCDP rho.
REFERENCE = {(1600, 7.0): (2.281145, 0.112245), (2048, 7.0): (2.392011, 0.122449), (100, 4.0): (3.289882, 7 / 32)}


@pytest.mark.parametrize("case", REFERENCE, ids=str)
def test_a_tree_is_worth_what_the_reference_says_and_a_little_more(case):
    rounds, z = case
    epsilon, rho = REFERENCE[case]
    assert 1 / (2 * combined_noise(z, [rounds]) ** 2) == pytest.approx(rho, rel=1e-5)
    accountant = RdpAccountant(neighboring_relation=NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(dp_event.SingleEpochTreeAggregationDpEvent(z, rounds))
    assert accountant.get_epsilon(1e-6) == pytest.approx(epsilon, rel=1e-6)
    exact = gaussian_mechanism.get_epsilon_gaussian(combined_noise(z, [rounds]), 1e-6)
    assert 0.9 * epsilon < exact < epsilon, "the same Gaussian mechanism, without the loss of Renyi orders"


def test_depth_is_the_number_of_nodes_that_a_round_is_in():
    assert [depth(rounds) for rounds in (1, 2, 3, 4, 7, 8)] == [1, 2, 2, 3, 3, 4]


def test_rounds_are_cut_into_trees():
    assert lengths_of(10, 4) == [4, 4, 2]
    assert lengths_of(8, 4) == [4, 4]
    assert lengths_of(3, 4) == [3]


def test_restarted_trees_compose():
    assert combined_noise(2.0, [4, 4, 2]) == pytest.approx(2.0 / np.sqrt(3 + 3 + 2))
