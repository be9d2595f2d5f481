"""Which channels go together, found by probing, against what is plain from the nets' own code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.channels.coupling import coupled
from fedlite.compression.part import PartError
from fedlite.learning.models.spec import spec_of


def groups_of(net, shape):
    return {group.sources: (group.units, group.channels) for group in coupled(net, shape).groups}


def test_a_perceptron_has_a_group_for_each_hidden_layer():
    assert groups_of(spec_of("mlp", (2, 6), 5, 1, hidden=(8, 4)).build(), (2, 6)) == {("1",): (8, 1), ("3",): (4, 1)}


def test_a_flattened_map_takes_all_of_its_inputs_of_the_next_layer_with_it():
    net = spec_of("cnn", (1, 8, 8), 10, 1, channels=(4, 6), hidden=16).build()
    coupling = coupled(net, (1, 8, 8))
    second = next(group for group in coupling.groups if group.name == "3")
    assert second.members["7", "in"].tolist() == [list(range(4 * c, 4 * c + 4)) for c in range(6)]
    assert groups_of(net, (1, 8, 8)) == {("0",): (4, 1), ("3",): (6, 1), ("7",): (16, 1)}


@pytest.mark.parametrize(("norm", "unit"), [("group", 8), ("batch", 1)])
def test_a_stage_of_a_residual_net_is_one_group_and_normalised_groups_stay_together(norm, unit):
    net = spec_of("resnet8", (3, 16, 16), 10, 1, norm=norm).build()
    assert groups_of(net, (3, 16, 16)) == {
        ("0", "3.layers.3"): (16 // unit, unit),
        ("3.layers.0",): (16 // unit, unit),
        ("4.layers.0",): (32 // unit, unit),
        ("4.layers.3", "4.shortcut"): (32 // unit, unit),
        ("5.layers.0",): (64 // unit, unit),
        ("5.layers.3", "5.shortcut"): (64 // unit, unit),
    }


def test_concatenated_maps_are_groups_of_their_own_and_know_their_places():
    net = spec_of("squeezenet1.1", (3, 32, 32), 10, 1).build()
    groups = {group.name: group for group in coupled(net, (3, 32, 32)).groups}
    assert len(groups) == 1 + 3 * 8
    after = "features.4.squeeze", "in"
    assert groups["features.3.expand1"].members[after][:, 0].tolist() == list(range(64))
    assert groups["features.3.expand3"].members[after][:, 0].tolist() == list(range(64, 128))


class Gated(nn.Module):
    """Squeeze and excite: the gate has the channels of what it gates."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 5, 3)
        self.down, self.up = nn.Linear(6, 2), nn.Linear(2, 6)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = self.before(x).relu()
        gate = self.up(self.down(x.mean((2, 3))).relu()).sigmoid()
        return self.head(self.after(x * gate[:, :, None, None]).relu().mean((2, 3)))


def test_a_gate_goes_with_what_it_gates():
    groups = groups_of(Gated(), (1, 8, 8))
    assert groups == {("before", "up"): (6, 1), ("after",): (5, 1), ("down",): (2, 1)}


class Maxout(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 12), Larger(), nn.Linear(6, 3))


class Larger(nn.Module):
    def forward(self, x):
        first, second = x.chunk(2, dim=1)
        return torch.maximum(first, second)


def test_two_channels_of_which_the_larger_counts_go_together():
    coupling = coupled(Maxout(), (4,))
    (group,) = coupling.groups
    assert group.members["0", "out"].tolist() == [[c, c + 6] for c in range(6)]


class Shuffled(nn.Module):
    """Half of the channels pass by, then all are shuffled: only what lies inside of the branch is free."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 12, 3, padding=1), nn.Linear(12, 3)
        self.into, self.deep, self.out = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 6, 1)

    def forward(self, x):
        x = self.stem(x).relu()
        for _ in range(2):
            kept, changed = x.chunk(2, dim=1)
            x = torch.cat([kept, self.out(self.deep(self.into(changed)))], dim=1)
            x = x.unflatten(1, (2, 6)).transpose(1, 2).flatten(1, 2)
        return self.head(x.mean((2, 3)))


def test_what_a_net_splits_and_shuffles_by_number_stays_whole_and_the_rest_can_go():
    coupling = coupled(Shuffled(), (1, 6, 6))
    assert [group.sources for group in coupling.groups] == [("into",)]
    assert "counts them itself" in coupling.fixed["stem"]
    with pytest.raises(PartError, match=r"layers: got 'stem', whose channels have to stay: the net counts them itself"):
        coupling.chosen(["stem"])


class Averaged(nn.Module):
    """The mean over channels is another number where one is missing."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(4, 6), nn.Linear(1, 3)

    def forward(self, x):
        return self.after(self.before(x).mean(dim=1, keepdim=True))


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.attention = nn.Linear(4, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.widen, self.narrow, self.head = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.before(x)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + self.narrow(self.widen(x).relu())
        return self.head(x.mean(1))


def test_what_cannot_be_sliced_keeps_what_touches_it_and_leaves_the_rest():
    coupling = coupled(Attending(), (5, 4))
    assert [(group.sources, group.units) for group in coupling.groups] == [(("widen",), 16)]
    assert coupling.fixed["before"] == "they enter 'attention' (MultiheadAttention), which cannot be sliced"
    assert coupling.fixed["attention"] == "'attention' (MultiheadAttention) cannot be sliced"
    assert coupling.fixed["head"] == "they are the output of the net"
    assert coupled(Averaged(), (4,)).groups == ()


def test_a_net_of_which_nothing_can_go_says_why_by_layer():
    coupling = coupled(spec_of("char-lstm", (6,), 9, 1, units=8).build(), (6,))
    with pytest.raises(PartError) as error:
        coupling.chosen()
    for words in ("'lstm'", "'lstm' (OneBiasLstm) cannot be sliced", "'classifier': they are the output of the net"):
        assert words in str(error.value)
    with pytest.raises(PartError, match=r"layers: got 'lst', expected layers that make channels"):
        coupling.chosen(["lst"])


def test_grouped_convolutions_and_shared_weights_are_left_whole():
    grouped = nn.Sequential(nn.Conv1d(2, 8, 1), nn.Conv1d(8, 8, 1, groups=2), nn.Conv1d(8, 6, 1), nn.Conv1d(6, 3, 1))
    assert groups_of(grouped, (2, 5)) == {("2",): (6, 1)}
    shared = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 3))
    shared[1].weight = shared[0].weight
    assert groups_of(shared, (4,)) == {("2",): (6, 1)}


class Twice(nn.Module):
    """One layer is run twice, on its own output."""

    def __init__(self):
        super().__init__()
        self.before, self.again, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.before(x)
        return self.head(self.again(self.again(x).relu()).relu())


def test_a_layer_that_is_run_twice_is_coupled_by_both_runs():
    assert groups_of(Twice(), (4,)) == {("before", "again"): (6, 1)}


class StepsFirst(nn.Module):
    """The batch is not the first dimension inside."""

    def __init__(self):
        super().__init__()
        self.before, self.after, self.head = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        x = self.before(x.transpose(0, 1))
        return self.head(self.after(x.relu()).relu().mean(0))


def test_where_the_batch_lies_elsewhere_nothing_is_taken_for_free_that_is_not():
    assert set(groups_of(StepsFirst(), (5, 4))) <= {("before",), ("after",)}


def test_probing_leaves_net_and_random_state_as_they_were():
    net = spec_of("resnet8", (3, 16, 16), 10, 1, norm="batch").build()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state, modes = torch.get_rng_state(), [module.training for module in net.modules()]
    coupled(net, (3, 16, 16))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert modes == [module.training for module in net.modules()]
    assert all("forward" not in vars(module) for module in net.modules())


def slow_coupling(net, shape, layer, channel):
    """The inputs of every other layer that change with one channel of one layer: the net itself is run twice."""
    entered = {}
    names = {module: name for name, module in net.named_modules()}

    def keep(module, inputs):
        entered[names[module]] = inputs[0].clone()

    def change(_module, _inputs, output):
        output = output.clone()
        output.select(-1 if isinstance(_module, nn.Linear) else 1, channel).add_(1.0)
        return output

    dense = [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    hooks = [module.register_forward_pre_hook(keep) for module in dense]
    x = torch.rand(1, *shape, dtype=torch.float64)
    with torch.no_grad():
        net(x)
        plain = dict(entered)
        hook = net.get_submodule(layer).register_forward_hook(change)
        net(x)
        hook.remove()
    for hook in hooks:
        hook.remove()
    return {
        name: set(np.flatnonzero((entered[name] != value).transpose(1, -1).flatten(0, -2).any(0).numpy()).tolist())
        for name, value in plain.items()
    }


def test_the_first_layers_that_change_are_those_that_probing_names():
    """A second way to the same answer, by running the real net, for layers with one consumer each."""
    net = spec_of("cnn", (1, 8, 8), 10, 1, channels=(4, 6), hidden=16).build().double()
    net = nn.Sequential(*(nn.LeakyReLU(0.5) if isinstance(module, nn.ReLU) else module for module in net))
    by_name = {group.name: group for group in coupled(net, (1, 8, 8)).groups}
    for layer, after in (("0", "3"), ("3", "7"), ("7", "9")):
        for unit, channels in enumerate(by_name[layer].members[layer, "out"].tolist()):
            changed = slow_coupling(net, (1, 8, 8), layer, channels[0])
            assert changed[after] == set(by_name[layer].members[after, "in"][unit].tolist())
