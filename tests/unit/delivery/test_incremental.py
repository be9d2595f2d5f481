"""Compressing a new version from the last one: the same result for less work, and an update of what changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from fedlite import wire
from fedlite.compression.kmeans import kmeans
from fedlite.compression.part import PartError
from fedlite.delivery.base import Artefact, Calibration
from fedlite.delivery.clustering import Clustering
from fedlite.delivery.ranges import input_ranges
from fedlite.delivery.static_quantization import StaticQuantization
from fedlite.delivery.structured_pruning import StructuredPruning
from fedlite.learning.models.spec import spec_of
from fedlite.rng import stream

SPEC = spec_of("mlp", (12,), 5, 1, hidden=(32, 16))


def moved(net, by, seed=3):
    """Return the net after its weights moved by that share of their spread."""
    made, rng = SPEC.build().eval(), stream(seed, "moved")
    with torch.no_grad():
        for new, old in zip(made.parameters(), net.parameters(), strict=True):
            noise = torch.from_numpy(rng.standard_normal(tuple(old.shape)).astype(np.float32))
            new.copy_(old + by * old.std() * noise)
    return made


def rows(previous=None, x=None):
    x = stream(1, "rows").normal(size=(64, 12)).astype(np.float32) if x is None else x
    return Calibration(x, lambda _: 0.0, stream(1, "delivery"), previous=previous)


def distortion(values, found):
    return float(np.square(values - found.centres[found.indices]).mean())


@pytest.mark.parametrize("clusters", [4, 16])
def test_from_centroids_that_have_settled_two_iterations_see_that_they_have(clusters):
    values = stream(1, "values").standard_t(5, size=4000).astype(np.float32)
    cold = kmeans(values, clusters, settled=1e-2)
    warm = kmeans(values, clusters, cold.centres, settled=1e-2)
    assert cold.iterations > 5
    # The second sees that the first made nothing better.
    assert warm.iterations == 2
    assert distortion(values, warm) <= distortion(values, cold)


@pytest.mark.parametrize("clusters", [4, 16])
def test_weights_that_moved_a_little_take_fewer_iterations_and_lose_as_little(clusters):
    rng = stream(2, "values")
    before = rng.standard_t(5, size=4000).astype(np.float32)
    now = before + 0.02 * rng.standard_normal(4000).astype(np.float32)
    cold = kmeans(now, clusters, settled=1e-2)
    warm = kmeans(now, clusters, kmeans(before, clusters, settled=1e-2).centres, settled=1e-2)
    assert warm.iterations < cold.iterations / 2
    assert distortion(now, warm) < 1.03 * distortion(now, cold)


def test_a_codebook_of_another_length_is_not_used():
    values = stream(3, "values").normal(size=500).astype(np.float32)
    cold, other = kmeans(values, 8), kmeans(values, 8, np.linspace(0, 1, 5, dtype=np.float32))
    np.testing.assert_array_equal(cold.centres, other.centres)
    assert cold.iterations == other.iterations


def test_the_iterations_of_all_layers_are_told_beside_those_from_nothing():
    part, old = Clustering(8, warm=True), SPEC.build().eval()
    before = part.deliver(Artefact.of(old), rows())
    assert before.facts["iterations"] == before.facts["iterations_from_nothing"]
    after = part.deliver(Artefact.of(moved(old, 0.02)), rows(before.net))
    assert after.facts["iterations"] < after.facts["iterations_from_nothing"] / 2
    assert after.facts["iterations"] == sum(
        layer.iterations for layer in after.net.modules() if hasattr(layer, "iterations")
    )


def test_without_a_previous_one_warm_is_cold():
    net = SPEC.build().eval()
    x = torch.from_numpy(rows().x)
    cold, warm = (
        part.deliver(Artefact.of(net), rows()) for part in (StaticQuantization(), StaticQuantization(warm=True))
    )
    assert torch.equal(cold.net(x), warm.net(x))
    assert warm.forward_samples == 64


def test_known_ranges_take_an_eighth_of_the_rows_and_may_only_widen():
    part, old = StaticQuantization(rows=64, warm=True), SPEC.build().eval()
    before = part.deliver(Artefact.of(old), rows())
    after = part.deliver(Artefact.of(old), rows(before.net))
    assert (before.forward_samples, after.forward_samples) == (64, 8)
    assert (after.facts["calibration_rows"], after.facts["calibration_rows_from_nothing"]) == (8, 64)
    layers = [name for name, layer in old.named_modules() if isinstance(layer, nn.Linear)]
    for name in layers:
        one, other = (made.net.get_submodule(name).range for made in (before, after))
        # Whole steps of 256: a zero point is rounded.
        step = (one[1] - one[0]) / 255
        assert other == pytest.approx(one, abs=1.01 * step)
    wide = part.deliver(Artefact.of(old), rows(before.net, 10 * rows().x))
    assert wide.net.get_submodule(layers[0]).range[1] > 5 * before.net.get_submodule(layers[0]).range[1]


def test_ranges_of_an_integer_layer_are_those_it_was_given():
    net = SPEC.build().eval()
    names = [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear)]
    found = input_ranges(net, names, rows().x)
    made = StaticQuantization(rows=64).deliver(Artefact.of(net), rows()).net
    for name in names:
        low, high = (min(found[name][0], 0.0), max(found[name][1], 0.0))
        assert made.get_submodule(name).range == pytest.approx((low, high), abs=(high - low) / 255)


def test_an_update_makes_the_new_file_out_of_the_old_one():
    part, old = Clustering(8, warm=True), SPEC.build().eval()
    before = part.deliver(Artefact.of(old), rows())
    after = part.deliver(Artefact.of(moved(old, 0.02)), rows(before.net))
    update = after.update(before)
    packet = wire.decode_delta(update, wire.encode(before.state(), ("fp32",)))
    for got, was in zip(wire.decode(packet, like=after.state()), after.state(), strict=True):
        np.testing.assert_array_equal(got, was)
    assert len(update) < len(after.file())
    assert len(after.update(Artefact.of(old))) == len(after.file())


def pruned(part, net, before=None):
    given = rows() if before is None else replace(rows(before.net), previous_masks=before.masks)
    return part.deliver(Artefact.of(net), given)


def test_channels_of_the_last_version_stay_for_an_eighth_of_the_rows():
    part, old = StructuredPruning(0.5, "taylor", warm=True), SPEC.build().eval()
    before = pruned(part, old)
    cold = pruned(StructuredPruning(0.5, "taylor"), old)
    assert before.file() == cold.file()
    new = moved(old, 0.05)
    after = pruned(part, new, before)
    assert (before.forward_samples, after.forward_samples) == (4 * 64, 4 * 8)
    assert (after.facts["calibration_rows"], after.facts["calibration_rows_from_nothing"]) == (8, 64)
    assert {name: kept.tolist() for name, kept in after.masks.items()} == {
        name: kept.tolist() for name, kept in before.masks.items()
    }
    # By so few rows alone others would have been chosen; and what is kept are the new version's values.
    few = StructuredPruning(0.5, "taylor").deliver(Artefact.of(new), rows(x=rows().x[:8]))
    assert any(few.masks[name].tolist() != kept.tolist() for name, kept in before.masks.items())
    name, kept = next(iter(after.masks.items()))
    layer, whole = (net.get_submodule(name).bias for net in (after.net, new))
    assert torch.equal(layer, whole[torch.from_numpy(kept)])


def test_a_channel_that_came_to_matter_takes_the_place_of_one_that_did_not():
    part, old = StructuredPruning(0.5, "taylor", warm=True), SPEC.build().eval()
    before, new = pruned(part, old), SPEC.build().eval()
    name, kept = next(iter(before.masks.items()))
    out = next(unit for unit in range(32) if unit not in kept)
    with torch.no_grad():
        for module in new.modules():
            if isinstance(module, nn.Linear) and module.in_features == 32:
                module.weight[:, out] *= 50.0
    assert out in pruned(part, new, before).masks[name]


def test_warm_needs_an_importance_that_looks_at_rows():
    with pytest.raises(PartError, match="which looks at no rows and costs nothing"):
        StructuredPruning(warm=True)
