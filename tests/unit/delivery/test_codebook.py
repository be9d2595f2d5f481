"""Shared weights: the codebook against a slow k-means, and the bytes of what is stored."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.kmeans import kmeans
from fedlite.delivery.base import Artefact
from fedlite.delivery.codebook import SharedWeights
from fedlite.delivery.entropy_coding import EntropyCoding
from fedlite.rng import stream


def slow_kmeans(values, clusters):
    centres = np.linspace(values.min(), values.max(), clusters)
    for _ in range(50):
        nearest = np.array([int(np.argmin(np.abs(centres - value))) for value in values])
        moved = np.array([values[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(clusters)])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres, nearest


@pytest.mark.parametrize("clusters", [2, 5, 16])
def test_centroids_are_those_of_lloyds_iterations(clusters):
    values = stream(1, "values").normal(size=300).astype(np.float32)
    centres, indices, _ = kmeans(values, clusters)
    slow, nearest = slow_kmeans(values.astype(np.float64), clusters)
    np.testing.assert_allclose(centres, slow, rtol=1e-5)
    assert np.array_equal(indices, nearest)


def test_as_many_values_as_clusters_lose_nothing():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    x = torch.eye(2)
    assert torch.equal(SharedWeights(layer, 4)(x), layer(x))
    assert torch.equal(SharedWeights(layer, 200)(x), layer(x))


@pytest.mark.parametrize(("clusters", "bits"), [(2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (16, 4), (17, 5), (256, 8)])
def test_indices_take_the_least_bits_that_tell_the_clusters_apart(clusters, bits):
    layer = nn.Linear(64, 33)
    made = SharedWeights(layer, clusters)
    assert made.indices.numel() == math.ceil(bits * 64 * 33 / 8)
    assert made.codebook.numel() == clusters
    file = Artefact.of(nn.Sequential(made)).file()
    body = math.ceil(bits * 64 * 33 / 8) + 4 * clusters + 4 * 33
    assert body <= len(file) <= body + 100


def test_every_weight_is_its_nearest_centroid():
    layer = nn.Conv2d(3, 8, 3, bias=False)
    made = SharedWeights(layer, 8)
    weight = made(torch.eye(27).reshape(27, 3, 3, 3)).detach().reshape(27, 8).T.reshape(8, 3, 3, 3)
    book = made.codebook
    nearest = book[(layer.weight.detach().reshape(-1, 1) - book).abs().argmin(dim=1)].reshape(weight.shape)
    torch.testing.assert_close(weight, nearest)


def test_what_was_pruned_stays_zero_and_the_others_share_the_rest():
    layer = nn.Linear(40, 10, bias=False)
    layer.weight.data[:, :30] = 0.0
    made = SharedWeights(layer, 4)
    weight = made(torch.eye(40)).detach().T
    assert torch.equal(weight == 0, layer.weight == 0)
    centres = kmeans(layer.weight.detach()[:, 30:].reshape(-1).numpy(), 3).centres.astype(np.float32)
    assert sorted(made.codebook.tolist()) == sorted([0.0, *centres.tolist()])
    layer.weight.data.zero_()
    assert torch.equal(SharedWeights(layer, 4)(torch.eye(40)), torch.zeros(40, 10))


def test_an_entropy_coder_takes_what_uneven_indices_leave():
    layer = nn.Linear(500, 200, bias=False)
    layer.weight.data = torch.from_numpy(stream(2, "weights").normal(size=(200, 500)).astype(np.float32))
    plain = Artefact.of(nn.Sequential(SharedWeights(layer, 16)))
    coded = EntropyCoding("range").deliver(plain, rows=None)
    assert len(coded.file()) < 0.95 * len(plain.file())
    for one, other in zip(coded.read(coded.file()), plain.read(plain.file()), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("clusters", [5, 8, 20])
def test_before_a_coder_of_bytes_indices_lie_within_bytes_and_say_the_same(clusters):
    net = nn.Sequential(nn.Linear(256, 128))
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(stream(4, "weights").standard_t(3, size=(128, 256)).astype(np.float32)))
    plain = Artefact.of(net).with_layers({"0": SharedWeights(net[0], clusters)}, None)
    coded = EntropyCoding("range").deliver(plain, None)
    assert torch.equal(coded.net[0].weights(), plain.net[0].weights())
    across = replace(plain, codec=("fp32", "range"))
    # Whole bytes of which few values are used are what a coder of bytes is good at: a seventh shorter and more.
    assert len(coded.file()) < 0.86 * len(across.file())
    assert len(coded.file()) < len(plain.file())
