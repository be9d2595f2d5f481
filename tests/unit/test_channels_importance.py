"""Importances against slow references, what they are for, and what is taken out by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.channels.coupling import coupled
from fedlite.compression.channels.importance import IMPORTANCES, importance_of
from fedlite.compression.channels.importance.base import Channels
from fedlite.compression.channels.importance.redundancy import cosines, leaving
from fedlite.compression.channels.pruning import removed, scores_of
from fedlite.compression.part import PartError
from fedlite.learning.models.spec import spec_of
from fedlite.rng import stream

SHAPE = (3, 16, 16)


def net_of(norm="batch"):
    net = spec_of("resnet8", SHAPE, 5, 1, norm=norm).build()
    dice = stream(4, "values")
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                shape = tuple(value.shape)
                drawn = dice.uniform(0.5, 1.5, shape) if value.ndim < 2 else 0.1 * dice.normal(size=shape)
                value.copy_(torch.from_numpy(drawn))
    return net


def group_of(net, name):
    coupling = coupled(net, SHAPE)
    position = next(i for i, group in enumerate(coupling.groups) if group.name == name)
    return coupling, position, coupling.groups[position]


def test_every_importance_gives_a_score_to_each_unit_and_the_same_each_time():
    net = net_of()
    coupling = coupled(net, SHAPE)
    batch = (stream(0, "x").normal(size=(6, *SHAPE)).astype(np.float32), np.arange(6) % 5)
    for name in IMPORTANCES:
        first, again = (scores_of(coupling, net, name, batch=batch) for _ in range(2))
        assert [len(scores) for scores in first] == [group.units for group in coupling.groups]
        assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
        assert any(len(set(scores.tolist())) > 1 for scores in first)


def test_l1_is_the_sum_over_all_layers_that_make_the_channel():
    net = net_of()
    coupling, position, group = group_of(net, "4.layers.3")
    assert group.sources == ("4.layers.3", "4.shortcut")
    state = net.state_dict()
    wanted = [
        sum(float(state[f"{layer}.weight"][c].double().abs().sum()) for layer in group.sources) for c in range(32)
    ]
    np.testing.assert_allclose(scores_of(coupling, net, "l1")[position], wanted, rtol=1e-12)


def test_l2_is_the_length_of_everything_that_makes_it():
    net = net_of()
    coupling, position, _ = group_of(net, "4.layers.0")
    state = net.state_dict()
    names = ("4.layers.0.weight", "4.layers.0.bias", "4.layers.1.weight", "4.layers.1.bias")
    wanted = [sum(float((state[name][c].double() ** 2).sum()) for name in names) ** 0.5 for c in range(32)]
    np.testing.assert_allclose(scores_of(coupling, net, "l2")[position], wanted, rtol=1e-12)


def test_norm_scale_is_the_factor_and_needs_one():
    net = net_of("group")
    coupling, position, _ = group_of(net, "4.layers.0")
    wanted = net.state_dict()["4.layers.1.weight"].abs().double().reshape(4, 8).mean(dim=1)
    np.testing.assert_allclose(scores_of(coupling, net, "norm-scale")[position], wanted, rtol=1e-12)
    plain = spec_of("cnn", (1, 8, 8), 5, 1).build()
    with pytest.raises(PartError, match=r"importance: got 'norm-scale' for the channels of layer '0'"):
        scores_of(coupled(plain, (1, 8, 8)), plain, "norm-scale")


def test_taylor_is_the_square_of_weight_times_gradient_and_needs_data():
    net = spec_of("cnn", (1, 8, 8), 5, 1, channels=(4, 6), hidden=8).build()
    x, y = stream(0, "x").normal(size=(6, 1, 8, 8)).astype(np.float32), np.arange(6) % 5
    coupling = coupled(net, (1, 8, 8))
    found = scores_of(coupling, net, "taylor", batch=(x, y))[1]
    torch.nn.functional.cross_entropy(net.eval()(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    weight = net[3].weight
    np.testing.assert_allclose(found, ((weight * weight.grad) ** 2).sum(dim=(1, 2, 3)).detach(), rtol=1e-5)
    with pytest.raises(PartError, match="needs gradients, without a batch"):
        scores_of(coupling, net, "taylor")


def test_taylor_ranks_by_what_the_loss_really_loses():
    """To first order: with a channel nearly at zero already, its score is what taking it out costs, in order."""
    net = spec_of("cnn", (1, 8, 8), 5, 1, channels=(6,), pools=(2,), hidden=8).build().eval()
    with torch.no_grad():
        for c in range(6):
            net[0].weight[c] *= 0.02 * (c + 1) ** 2
    x, y = torch.from_numpy(stream(0, "x").normal(size=(64, 1, 8, 8)).astype(np.float32)), torch.arange(64) % 5
    scores = scores_of(coupled(net, (1, 8, 8)), net, "taylor", batch=(x.numpy(), y.numpy()))[0]
    assert scores.argmin() == 0
    assert scores.argmax() in {4, 5}


def slow_leaving(alike):
    """As `leaving`, with everything computed anew in each step."""
    left, gone = list(range(len(alike))), []
    while len(left) > 1:
        pairs = [(alike[i, j], -left.index(i), -left.index(j), i, j) for i in left for j in left if i < j]
        _, _, _, i, j = max(pairs)
        total = {k: sum(alike[k, other] for other in left if other != k) for k in (i, j)}
        out = i if total[i] > total[j] + 1e-12 else j
        gone.append(out)
        left.remove(out)
    return gone


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_leaving_is_that_of_the_plain_algorithm(seed):
    rows = stream(seed, "rows").normal(size=(12, 5))
    assert leaving(cosines(rows)) == slow_leaving(cosines(rows))


def channels_of(filters):
    units = len(filters)
    return Channels("x", units, {"x": filters[:, None]}, {}, filters.reshape(units, -1))


def test_cosine_lets_all_but_one_of_equal_filters_go_however_long_they_are():
    filters = stream(1, "filters").normal(size=(6, 4, 3, 3))
    filters[4] = 3.0 * filters[1]
    filters[5] = 0.1 * filters[1]
    scores = importance_of("cosine").scores(channels_of(filters))
    low = set(np.argsort(scores)[:2].tolist())
    assert len(low & {1, 4, 5}) == 2
    assert sorted(scores.tolist()) == pytest.approx((np.arange(6) / 5).tolist())


def test_the_second_stage_looks_at_the_shape_of_kernels_not_at_their_level():
    """0 and 1 have one shape at two levels: their cosine is small, their correlation in space is one."""
    dice = stream(2, "filters")
    filters = dice.normal(size=(5, 2, 3, 3))
    filters[1] = filters[0] - 4.0
    filters[0] += 4.0
    alike = cosines(filters.reshape(5, -1))
    assert alike[0, 1] < 0
    scores = importance_of("cosine-spatial").scores(channels_of(filters))
    assert set(np.argsort(scores)[:1].tolist()) <= {0, 1}
    assert set(np.argsort(importance_of("cosine").scores(channels_of(filters)))[:1].tolist()).isdisjoint({0, 1})


def test_repeated_filters_go_before_the_second_stage():
    filters = stream(3, "filters").normal(size=(6, 2, 3, 3))
    filters[5] = 2.0 * filters[2]
    assert importance_of("cosine-spatial").scores(channels_of(filters)).argmin() in {2, 5}


def test_filters_without_a_kernel_are_ranked_by_cosine_alone():
    filters = stream(4, "filters").normal(size=(7, 9))
    spatial, plain = (importance_of(name).scores(channels_of(filters)) for name in ("cosine-spatial", "cosine"))
    np.testing.assert_array_equal(spatial, plain)


def test_unknown_importances_are_refused():
    with pytest.raises(PartError, match=r"importance: got 'cosin', expected one of cosine, .*; write 'cosine'"):
        importance_of("cosin")
    with pytest.raises(PartError, match="expected a class derived from"):
        importance_of("json:dumps")
    with pytest.raises(PartError, match="which cannot be imported"):
        importance_of("nowhere:Thing")


# --- selection and removal at once ----------------------------------------------------------------------------------


def perceptron():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    dice = stream(5, "values")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(dice.normal(size=tuple(parameter.shape))))
        net[0].weight[:6] *= 0.01  # most of the first layer hardly matters
    return net


def state(net):
    return [value.detach().numpy() for value in net.state_dict().values()]


def sizes(facts):
    return {layer: kept for layer, (kept, _) in facts["channels"].items()}


def test_local_keeps_equal_shares_and_global_the_best_of_the_whole_net():
    net = perceptron()
    local, over = (removed(net, state(net), 0.75, "l1", scope, input_shape=(4,))[3] for scope in ("local", "global"))
    assert sizes(local) == {"0": 6, "2": 6}
    assert sum(sizes(over).values()) == 12
    assert sizes(over)["0"] < 6 < sizes(over)["2"]
    assert local["params"] == [net[0].weight.numel() + 8 + 72 + 27, 4 * 6 + 6 + 36 + 6 + 18 + 3]


def test_the_best_stay_with_their_values():
    net = perceptron()
    small, arrays, maps, _ = removed(net, state(net), 0.25, "l1", "local", layers=("0",), input_shape=(4,))
    assert maps[0][0].tolist() == [6, 7]
    np.testing.assert_array_equal(arrays[0], net[0].weight.detach().numpy()[[6, 7]])
    np.testing.assert_array_equal(arrays[2], net[2].weight.detach().numpy()[:, [6, 7]])
    assert small[2].weight.shape == (8, 2)
    assert net[0].weight.shape == (8, 4)


def test_round_to_gives_multiples_and_never_more_than_there_are():
    net = perceptron()
    facts = removed(net, state(net), 0.55, "l2", "local", input_shape=(4,), round_to=4)[3]
    assert sizes(facts) == {"0": 4, "2": 4}
    assert sizes(removed(net, state(net), 0.9, "l2", "global", input_shape=(4,), round_to=4)[3])["2"] == 8


def test_what_training_has_emptied_goes_whatever_its_share():
    net = perceptron()
    with torch.no_grad():
        net[0].bias[:6] *= 0.01
    small, _, _, facts = removed(net, state(net), 0.5, "l2", "local", input_shape=(4,), below=0.1)
    assert sizes(facts) == {"0": 2, "2": 8}
    assert small[0].out_features == small[2].in_features == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"share": 0.05}, r"leaves layer '0' none of its 8 channels, expected at least one"),
        ({"share": 0.0}, "share: got 0.0, expected above 0"),
        ({"scope": "globl"}, "scope: got 'globl', expected local or global; write 'global'"),
        ({"layers": ("4",)}, "layers: got '4', whose channels have to stay: they are the output of the net"),
        ({"layers": ("1",)}, "layers: got '1', expected layers that make channels: 0, 2"),
        ({"importance": "taylor"}, "needs gradients, without a batch"),
        ({"round_to": 0}, "round_to: got 0"),
        ({"below": 2.0}, "below: got 2.0"),
    ],
)
def test_bad_settings_name_the_layer_and_leave_the_net_alone(settings, words):
    net = perceptron()
    before = [array.copy() for array in state(net)]
    options = {"share": 0.5, "importance": "l1", "scope": "local", "input_shape": (4,), **settings}
    with pytest.raises(PartError, match=words):
        removed(net, state(net), **options)
    assert all(np.array_equal(a, b) for a, b in zip(before, state(net), strict=True))


def test_a_global_rank_that_would_empty_a_layer_says_which():
    layers = [nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)]
    net = nn.Sequential(*layers)
    with torch.no_grad():
        net[1].weight *= 0.01
    assert sizes(removed(net, state(net), 0.75, "norm-scale", "global", input_shape=(4,))[3]) == {"0": 4, "3": 8}
    with pytest.raises(PartError, match="leaves layer '0' none of its 8 channels"):
        removed(net, state(net), 0.5, "norm-scale", "global", input_shape=(4,))
