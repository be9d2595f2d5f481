"""Who is drawn: each owner alone, independently, as often as is accounted for."""

from __future__ import annotations

import numpy as np
import pytest

from fedlite.privacy.draws import DRAWS, devices_of
from fedlite.privacy.samplers import SAMPLERS, Draw

OWNERS = np.arange(40)
ROUNDS = 3000


def drawn(sampling, draw, owners=OWNERS, rounds=ROUNDS, seed=3):
    """One row per round, true for owners that were drawn."""
    return np.array([np.isin(OWNERS, DRAWS[sampling](draw, owners, round_, seed)) for round_ in range(rounds)])


def test_every_sampler_that_leaves_somebody_to_chance_can_be_drawn():
    assert set(DRAWS) == set(SAMPLERS) - {"none"}


def test_poisson_draws_each_owner_alone_with_its_probability():
    table = drawn("poisson", Draw(40, 10))
    sd = np.sqrt(0.25 * 0.75 / ROUNDS)
    assert np.abs(table.mean(axis=0) - 0.25).max() < 4 * sd
    sizes = table.sum(axis=1)
    assert sizes.var() == pytest.approx(40 * 0.25 * 0.75, rel=0.1)
    pairs = np.corrcoef(table.T.astype(float))[np.triu_indices(40, 1)]
    assert np.abs(pairs).max() < 4.5 / np.sqrt(ROUNDS)
    # Nor does a round tell of the next one.
    assert np.abs([np.corrcoef(column[1:], column[:-1])[0, 1] for column in table.T.astype(float)]).max() < 0.08


def test_another_owner_changes_nobodys_draw():
    fewer, more = (drawn("poisson", Draw(40, 10), owners, 50) for owners in (OWNERS[:30], OWNERS))
    assert np.array_equal(fewer[:, :30], more[:, :30])


def test_a_cap_keeps_a_uniform_choice_of_those_that_poisson_draws():
    plain, capped = (drawn(name, Draw(40, 10, cap)) for name, cap in (("poisson", None), ("truncated-poisson", 11)))
    sizes = plain.sum(axis=1)
    assert np.array_equal(capped.sum(axis=1), np.minimum(sizes, 11))
    assert not (capped & ~plain).any()
    assert np.array_equal(capped[sizes <= 11], plain[sizes <= 11])
    kept = capped[sizes > 11].sum(axis=0) / plain[sizes > 11].sum(axis=0)
    assert kept.std() < 0.05


def test_a_fixed_cohort_has_its_size_and_no_favourites():
    table = drawn("fixed", Draw(40, 10))
    assert (table.sum(axis=1) == 10).all()
    assert np.abs(table.mean(axis=0) - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / ROUNDS)


def test_the_same_seed_and_round_draw_the_same_and_others_do_not():
    one, same, other = (DRAWS["poisson"](Draw(40, 10), OWNERS, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_one_device_of_each_owner_is_asked_each_as_likely_as_another():
    devices = np.array([0, 1, 2, 3, 4, 5, 7])
    owner_of = devices % 3
    asked = [devices_of(np.array([0, 2]), devices, owner_of, round_, 3) for round_ in range(1200)]
    assert {tuple(owner_of[np.searchsorted(devices, each)]) for each in asked} == {(0, 2)}
    shares = np.bincount([each[0] for each in asked], minlength=8) / 1200
    assert shares[[0, 3]] == pytest.approx([0.5, 0.5], abs=0.06)
    assert {each[1] for each in asked} == {2, 5}
