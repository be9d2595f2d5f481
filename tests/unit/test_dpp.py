"""Diverse neurons: chances against the determinants of all sets, fusion against least squares told directly."""

from __future__ import annotations

from itertools import combinations
from math import comb, log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedlite.planning.dpp import (
    DiversityError,
    activation_kernel,
    fuse,
    greedy,
    inclusion,
    log_elementary,
    sample,
)
from fedlite.rng import stream


def kernel_of(n, seed, rank=None):
    factors = np.random.default_rng(seed).normal(size=(n, rank or n + 1))
    return factors @ factors.T


def chances(kernel, k):
    """The definition: of each set of k items, its determinant over the sum of all."""
    sets = list(combinations(range(len(kernel)), k))
    weights = np.array([np.linalg.det(kernel[np.ix_(s, s)]) for s in sets])
    return dict(zip(sets, weights / weights.sum(), strict=True))


def marginals(kernel, k):
    found = np.zeros(len(kernel))
    for items, chance in chances(kernel, k).items():
        found[list(items)] += chance
    return found


@pytest.mark.parametrize("n", range(1, 9))
def test_marginals_are_those_of_all_sets(n):
    for k in range(1, n + 1):
        kernel = kernel_of(n, 10 * n + k)
        found = inclusion(kernel, k)
        np.testing.assert_allclose(found, marginals(kernel, k), rtol=0, atol=1e-9)
        assert found.sum() == pytest.approx(k, abs=1e-9)


@pytest.mark.parametrize(("n", "k", "rank"), [(4, 2, None), (6, 3, None), (8, 2, None), (8, 5, None), (7, 3, 4)])
def test_sets_are_drawn_as_often_as_their_determinants_say(n, k, rank):
    kernel, draws = kernel_of(n, n + k, rank), 6000
    rng = stream(1, "draws")
    wanted, seen = chances(kernel, k), {}
    for _ in range(draws):
        items = sample(kernel, k, rng)
        assert len(set(items)) == k
        assert list(items) == sorted(items)
        seen[items] = seen.get(items, 0) + 1
    # The mean of chi-square is its degrees of freedom, its variance twice that; rare sets are told together.
    rare = [items for items, chance in wanted.items() if chance * draws < 5]
    groups = [[items] for items in wanted if items not in set(rare)] + ([rare] if rare else [])
    expected = np.array([draws * sum(wanted[items] for items in group) for group in groups])
    observed = np.array([sum(seen.get(items, 0) for items in group) for group in groups])
    assert observed.sum() == draws
    freedom = len(groups) - 1
    assert abs((np.square(observed - expected) / np.maximum(expected, 1e-9)).sum() - freedom) < 5 * np.sqrt(2 * freedom)


def test_the_stream_decides():
    kernel = kernel_of(12, 1)
    one, again, other = ([sample(kernel, 4, stream(s, "draws")) for _ in range(1)] for s in (1, 1, 2))
    assert one == again
    assert one != other


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 5), min_size=1, max_size=7), st.integers(1, 5))
def test_elementary_polynomials_are_sums_of_products(values, k):
    with np.errstate(divide="ignore"):
        table = log_elementary(np.log(np.array(values)), k)
    for degree in range(k + 1):
        for count in range(len(values) + 1):
            whole = sum(np.prod(chosen) for chosen in combinations(values[:count], degree))
            assert np.exp(table[degree, count]) == pytest.approx(whole, rel=1e-9, abs=1e-12)


def test_polynomials_beyond_the_range_of_floats_are_told_by_their_logarithm():
    """Of 600 equal values v the polynomial of degree 300 is C(600, 300) v^300: 1e1079 here."""
    table = log_elementary(np.full(600, log(1000.0)), 300)
    assert table[300, 600] == pytest.approx(300 * log(1000.0) + log(comb(600, 300)), rel=1e-12)
    kernel = 1000.0 * np.eye(600)
    np.testing.assert_allclose(inclusion(kernel, 300), 0.5, rtol=1e-9)
    assert len(sample(kernel, 300, stream(0, "draws"))) == 300


def test_kernels_of_any_scale_draw_the_same():
    kernel = kernel_of(7, 3)
    for scale in (1e-9, 1e9):
        np.testing.assert_allclose(inclusion(scale * kernel, 3), inclusion(kernel, 3), rtol=1e-7)
        assert sample(scale * kernel, 3, stream(5, "draws")) == sample(kernel, 3, stream(5, "draws"))


@pytest.mark.parametrize("seed", range(5))
def test_the_greedy_choice_raises_the_determinant_most_at_each_step(seed):
    kernel = kernel_of(7, seed)
    items = []
    for k in range(1, 6):
        rest = [item for item in range(7) if item not in items]
        items.append(max(rest, key=lambda item: np.linalg.det(kernel[np.ix_([*items, item], [*items, item])])))
        assert greedy(kernel, k) == tuple(sorted(items))


def test_the_kernel_falls_with_the_mean_squared_difference():
    answers = np.array([[0.0, 0.0, 1.0], [2.0, 2.0, 1.0]])
    kernel = activation_kernel(answers, sharpness=0.5, ridge=0.01)
    want = np.exp(-0.5)
    np.testing.assert_allclose(kernel, [[1.01, 1, want], [1, 1.01, want], [want, want, 1.01]], rtol=1e-12)


def layers(seed, rows=200, inputs=6, neurons=9, outputs=4):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, inputs))
    answers = np.maximum(x @ draw.normal(size=(inputs, neurons)) + 0.3, 0)
    return answers, draw.normal(size=(outputs, neurons)), draw.normal(size=outputs)


@pytest.mark.parametrize("seed", range(20))
def test_duplicated_neurons_are_left_out_and_the_outputs_stay(seed):
    base, _, bias = layers(seed)
    copies = np.random.default_rng(seed).permutation(np.r_[np.arange(9), [0, 0, 3, 8]])
    answers = base[:, copies]
    following = np.random.default_rng(seed + 1).normal(size=(4, 13))
    kernel = activation_kernel(answers, sharpness=1.0, ridge=0.0)
    for kept in (sample(kernel, 9, stream(seed, "draws")), greedy(kernel, 9)):
        assert sorted(copies[list(kept)]) == list(range(9))
        outputs = answers[:, kept] @ fuse(answers, kept).weights(following).T + bias
        np.testing.assert_allclose(outputs, answers @ following.T + bias, atol=1e-9)
    with pytest.raises(DiversityError, match="got k = 10 for 13 neurons of which 9 differ, expected 1 to 9"):
        sample(kernel, 10, stream(seed, "draws"))


@pytest.mark.parametrize("intercept", [False, True])
def test_fusion_gives_the_least_squared_error_of_the_outputs(intercept):
    answers, following, _ = layers(2)
    kept = (0, 2, 5, 7)
    fusion = fuse(answers, kept, intercept=intercept)
    design = np.c_[answers[:, kept], np.ones(200)] if intercept else answers[:, kept]
    best, *_ = np.linalg.lstsq(design, answers @ following.T, rcond=None)
    np.testing.assert_allclose(fusion.weights(following).T, best[:4], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fusion.shift(following), best[4] if intercept else np.zeros(4), rtol=1e-9, atol=1e-9)

    def error(weights, shift):
        return np.square(answers[:, kept] @ weights.T + shift - answers @ following.T).sum()

    fused = error(fusion.weights(following), fusion.shift(following))
    assert fused < 0.8 * error(following[:, kept], 0.0)
    assert fusion.mixing[:, kept].tolist() == np.eye(4).tolist()


def test_keeping_all_changes_nothing():
    answers, following, _ = layers(4)
    kept = tuple(range(9))
    assert greedy(activation_kernel(answers), 9) == kept
    assert (fuse(answers, kept).weights(following) == following).all()


def test_a_dead_neuron_is_read_from_nobody_and_breaks_nothing():
    answers, following, _ = layers(5)
    answers[:, [3, 4]] = 0.0
    fusion = fuse(answers, (3, 0, 1))
    assert fusion.mixing[:, 4] == pytest.approx(0)
    assert np.isfinite(fusion.weights(following)).all()


def test_duplicated_channels_of_a_convolution_are_fused_into_smaller_layers():
    generator = torch.Generator().manual_seed(0)
    one, two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3, padding=1)
    with torch.no_grad():
        for parameter in (*one.parameters(), *two.parameters()):
            parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
        one.weight[4], one.bias[4] = one.weight[1], one.bias[1]
        one.weight[5], one.bias[5] = 3 * one.weight[2], 3 * one.bias[2]
        x = torch.rand(8, 3, 10, 10, generator=generator)
        maps = one(x).relu()
        answers = maps.permute(0, 2, 3, 1).flatten(0, 2).numpy()
        fusion = fuse(answers, (0, 1, 2, 3))
        small, after = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        small.weight.copy_(one.weight[:4])
        small.bias.copy_(one.bias[:4])
        after.weight.copy_(torch.from_numpy(fusion.weights(two.weight.numpy())))
        after.bias.copy_(two.bias)
        assert after.weight.dtype == torch.float32
        torch.testing.assert_close(after(small(x).relu()), two(maps), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "k", "text"),
    [
        (np.ones((2, 3)), 1, r"got a kernel of shape \(2, 3\)"),
        (np.full((2, 2), np.nan), 1, "not finite"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), 1, "no kernel"),
        (-np.eye(2), 1, "no kernel"),
        (np.eye(3), 0, "got k = 0 for 3 neurons of which 3 differ, expected 1 to 3"),
        (np.eye(3), 4, "got k = 4"),
    ],
)
@pytest.mark.parametrize("choose", [lambda *a: sample(*a, stream(0, "draws")), greedy, inclusion])
def test_what_is_no_kernel_or_too_small_is_refused(kernel, k, text, choose):
    with pytest.raises(DiversityError, match=text):
        choose(kernel, k)


@pytest.mark.parametrize("kept", [(), (1, 1), (-1, 2), (0, 9)])
def test_only_neurons_that_are_there_are_kept(kept):
    with pytest.raises(DiversityError, match="expected different ones from 0 to 8, at least one"):
        fuse(layers(0)[0], kept)
