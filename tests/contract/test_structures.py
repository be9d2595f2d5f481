"""One battery that every structure passes: those that ship, those of the documentation, and any of a user's own."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from own import examples
from strangers import Headless, Squared
from thin import Thin

from fedlite.compression.overlap import OverlapSum, weighted_sums
from fedlite.compression.part import PartError, from_record, made
from fedlite.compression.structure import STRUCTURES
from fedlite.compression.structure.base import Structure
from fedlite.compression.structure.channels import Channels
from fedlite.compression.structure.circulant import Circulant
from fedlite.compression.structure.depth import Depth, Skip
from fedlite.compression.structure.full import Full
from fedlite.compression.structure.growing import Growing
from fedlite.compression.structure.heterofl import HeteroFL
from fedlite.compression.structure.integer_training import IntegerTraining
from fedlite.compression.structure.low_rank import LowRank
from fedlite.compression.structure.ordered import Ordered
from fedlite.compression.structure.quantised_net import QuantisedNet
from fedlite.compression.structure.subnet import Subnet, Supernet
from fedlite.compression.structure.tied import Tied
from fedlite.compression.structure.width import Width
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.rng import stream

EXAMPLES = {
    "channels": [
        Channels(0.5),
        Channels(0.75, "l2"),
        Channels(0.5, "cosine", round_to=2),
        Channels(0.5, "cosine-spatial"),
        Channels(0.25, "random"),
        Channels(1.0),
    ],
    "depth": [Depth(1), Depth(2)],
    "circulant": [Circulant(4), Circulant(5)],
    "full": [Full()],
    "growing": [Growing(3, 1), Growing(2, 5)],
    "heterofl": [HeteroFL(0.5), HeteroFL(1.0)],
    "ordered": [Ordered((0.5, 1.0)), Ordered((0.25, 0.5), distillation=1.0)],
    "skip": [Skip((0,)), Skip((2, 1))],
    "low-rank": [LowRank(0.25), LowRank(0.1)],
    "tied": [Tied()],
    "subnet": [Subnet((("blocks", 1), ("kernel", 3))), Subnet((("channels", 8), ("expansion", 2)))],
    "supernet": [Supernet((("blocks", (1, 2, 3)), ("channels", (8, 16)))), Supernet((("kernel", (3, 5)),), 1)],
    "width": [Width(0.5), Width(0.25), Width(1.0)],
    "quantised-net": [QuantisedNet(), QuantisedNet(4, 6, powers_of_two=True)],
    "integer-training": [IntegerTraining()],
    "strangers:Headless": [Headless(), Headless(2)],
    "strangers:Squared": [Squared()],
    "thin:Thin": [Thin(4), Thin(2)],
    **examples(Structure),
}
"""Name in a scenario -> some settings of it, all different."""
ALL = [part for parts in EXAMPLES.values() for part in parts]
_SLICES = ("full", "width", "channels", "heterofl", "ordered")
_AS_THEY_ARE = (*_SLICES, "depth", "growing", "skip", "subnet", "supernet", "quantised-net", "integer-training")
EXACT = [part for name in (*_AS_THEY_ARE, "strangers:Headless", "strangers:Squared") for part in EXAMPLES[name]]
"""Those that hold coordinates of the full model as they are; others come as near to it as their form allows."""
NETS = {
    "perceptron": spec_of("mlp", (12,), 5, 1, hidden=(8, 8, 8)),
    "batch statistics": spec_of("resnet8", (3, 16, 16), 5, 1, norm="batch"),
    "gates": spec_of("char-lstm", (6,), 9, 1, units=8),
    "family": spec_of("elastic", (1, 8, 8), 5, 1, channels=16),
    "exits": spec_of("resnet8-exits", (3, 16, 16), 5, 1, norm="batch", outputs="all"),
}
ONLY = {
    "depth": {"exits"},
    "growing": {"exits"},
    "subnet": {"family"},
    "supernet": {"family"},
    "skip": {"exits", "batch statistics", "family"},
}
"""Name -> the nets that it applies to; others apply to all but "exits" and "family", which tell nothing new of them."""


REFUSED = {
    ("channels", "gates"): "'lstm'",
    ("tied", "gates"): "; ",
    ("quantised-net", "gates"): "got a net with embedding.weight, lstm.weight_ih_l0",
}
"""Structures by name with nets that they do not apply to -> what they say of it."""


def nets_of(part):
    nets = ONLY.get(part.name, NETS.keys() - {"exits", "family"})
    return sorted(net for net in nets if (part.name, net) not in REFUSED)


def pairs(parts, but=""):
    found = [(part, net) for part in parts for net in nets_of(part) if net != but]
    cases = [pytest.param(part, net, id=f"{part.label}-{net}") for part, net in found]
    return pytest.mark.parametrize(("part", "net"), cases)


each_part = pytest.mark.parametrize("part", ALL, ids=lambda part: part.label)
each_part_and_net = pairs(ALL)
each_exact_and_net = pairs(EXACT)
each_exact = pytest.mark.parametrize(
    "part", [part for part in EXACT if "perceptron" in nets_of(part)], ids=lambda part: part.label
)


def arrays_of(net):
    return [value.detach().numpy().copy() for value in net.state_dict().values()]


def full_model(spec, seed=0):
    """A full model's state with values that no net is built with; counters are numbers above 0."""
    rng = stream(seed, "full model")
    return [
        rng.normal(size=array.shape).astype(array.dtype) if array.dtype.kind == "f" else np.full_like(array, 7 + seed)
        for array in arrays_of(spec.build())
    ]


def clients_of(part, spec, count):
    """What `count` clients of a structure send: what they took, moved a little; each tensor (count, *shape)."""
    taken = part.place(spec, full_model(spec)).take()
    rng = stream(3, "clients", part.key)
    return [
        np.stack([tensor + (0.1 * rng.normal(size=tensor.shape)).astype(tensor.dtype) for _ in range(count)])
        for tensor in taken
    ]


def nines(spec):
    return [np.full(array.shape, 9.0) for array in full_model(spec)]


def total_of(spec):
    return OverlapSum([array.shape for array in full_model(spec)])


def test_every_structure_has_an_example_that_a_scenario_can_name():
    assert {name for name in EXAMPLES if ":" not in name} == set(STRUCTURES)
    for name, parts in EXAMPLES.items():
        for part in parts:
            options = {key: value for key, value in part.record.items() if key != "part"}
            assert made(name, options, STRUCTURES, Structure) == part


@each_part_and_net
def test_a_net_has_the_same_tensors_each_time(part, net):
    """Their values come from the server."""
    first, second = part.build(NETS[net]).state_dict(), part.build(NETS[net]).state_dict()
    assert [(key, value.shape, value.dtype) for key, value in first.items()] == [
        (key, value.shape, value.dtype) for key, value in second.items()
    ]


@each_part_and_net
def test_what_is_taken_is_the_state_of_the_net(part, net):
    spec = NETS[net]
    built, taken = part.build(spec), part.place(spec, full_model(spec)).take()
    state = built.state_dict()
    assert len(taken) == len(state)
    for tensor, wanted in zip(taken, state.values(), strict=True):
        assert (tensor.shape, tensor.dtype) == (tuple(wanted.shape), wanted.numpy().dtype)
    built.load_state_dict({key: torch.from_numpy(np.array(a)) for key, a in zip(state, taken, strict=True)})


def there_and_back(part, spec, full, weight=1.0):
    """What the server has of one client that trained nothing, and where it has it."""
    placement, total = part.place(spec, full), total_of(spec)
    placement.add(total, [weight * tensor.astype(np.float64) for tensor in placement.take()], weight)
    return total.finish(nines(spec)), [
        np.broadcast_to(mass, was.shape) for mass, was in zip(total.weights, full, strict=True)
    ]


@each_part_and_net
@pytest.mark.parametrize("weight", [1.0, 17.0, 0.25])
def test_what_came_back_once_comes_back_the_same_again(part, net, weight):
    """A model of the structure's own form is held exactly: there and back is a projection."""
    spec, full = NETS[net], full_model(NETS[net])
    once, masses = there_and_back(part, spec, full, weight)
    formed = [
        np.where(mass > 0, back, was).astype(was.dtype) for back, mass, was in zip(once, masses, full, strict=True)
    ]
    again, _ = there_and_back(part, spec, formed, weight)
    for mass, first, second in zip(masses, once, again, strict=True):
        assert np.isin(mass, (0.0, weight)).all()
        assert (first[mass == 0] == 9.0).all()
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-4)
    assert any((mass > 0).any() for mass in masses)
    assert all((mass > 0).all() for mass in masses) or not part.covers, "covers says that every coordinate comes back"


@each_exact_and_net
@pytest.mark.parametrize("weight", [1.0, 17.0, 0.25])
def test_what_was_taken_comes_back_where_it_was_and_nowhere_else(part, net, weight):
    spec, total = NETS[net], total_of(NETS[net])
    full = full_model(spec)
    placement = part.place(spec, full)
    taken = placement.take()
    placement.add(total, [weight * tensor.astype(np.float64) for tensor in taken], weight)
    touched = 0
    for result, was, mass in zip(total.finish(nines(spec)), full, total.weights, strict=True):
        held = np.broadcast_to(mass > 0, was.shape)
        assert np.allclose(mass[mass > 0], weight)
        np.testing.assert_allclose(result[held], was[held], rtol=1e-5)
        assert (result[~held] == 9.0).all()
        touched += int(held.sum())
    assert touched >= sum(tensor.size for tensor in taken) > 0
    assert (touched == sum(array.size for array in full)) or not part.is_full


@each_part_and_net
def test_the_sum_of_clients_stands_for_each_of_them_if_the_structure_says_so(part, net):
    spec, weights = NETS[net], np.array([1.0, 3.0, 0.5, 2.0])
    stacked = clients_of(part, spec, len(weights))
    placement = part.place(spec, full_model(spec))
    together, single = total_of(spec), total_of(spec)
    placement.add(together, weighted_sums(stacked, weights), float(weights.sum()))
    for k, weight in enumerate(weights.tolist()):
        placement.add(single, [weight * values[k].astype(np.float64) for values in stacked], weight)
    same = all(
        np.allclose(a, b, rtol=1e-12, atol=1e-12)
        for a, b in zip(together.finish(nines(spec)), single.finish(nines(spec)), strict=True)
    )
    assert same or not part.linear, "the sum of clients is not the sum of what each adds: write linear = False"
    assert not (same and part in (Squared(), Thin(2), LowRank(0.1)))


@pytest.mark.parametrize(
    "part",
    [part for part in ALL if part.linear and not part.moves and "perceptron" in nets_of(part)],
    ids=lambda part: part.label,
)
def test_a_tensor_that_is_masked_as_a_whole_counts_for_nobody(part):
    spec, full = NETS["perceptron"], full_model(NETS["perceptron"])
    placement = part.place(spec, full)
    taken = placement.take()
    whole, masked = total_of(spec), total_of(spec)
    placement.add(whole, [tensor.astype(np.float64) for tensor in taken], 1.0)
    placement.add(
        masked,
        [tensor.astype(np.float64) for tensor in taken],
        1.0,
        [np.zeros(taken[0].shape), *[None] * len(taken[1:])],
    )
    with_it, without = (
        sum((array == 9).sum() for array in t.finish(nines(spec), zero_masked=False)) for t in (whole, masked)
    )
    assert without > with_it, "add must hand on what clients hold"


@each_exact
def test_coordinates_that_a_mask_takes_count_for_nobody(part):
    spec, full = NETS["perceptron"], full_model(NETS["perceptron"])
    placement, total = part.place(spec, full), total_of(NETS["perceptron"])
    taken = placement.take()
    mask = np.ones(taken[0].shape)
    mask[0] = 0.0
    held = [mask, *[None] * (len(taken) - 1)]
    placement.add(total, [tensor.astype(np.float64) for tensor in taken], 1.0, held)
    first, *_ = total.finish(nines(spec))
    (row,) = np.flatnonzero((first == 0).any(axis=1))
    kept, *_ = total.finish(nines(spec), zero_masked=False)
    assert (kept[row] == 9).all()
    other = next(r for r in range(len(first)) if r != row and (first[r] != 9).any())
    np.testing.assert_allclose(first[other][first[other] != 9], full[0][other][first[other] != 9], rtol=1e-5)


@pytest.mark.parametrize("net", ["perceptron", "gates", "exits"])
def test_the_order_of_clients_of_different_structures_does_not_matter(net):
    spec, full = NETS[net], full_model(NETS[net])
    results = []
    dice = stream(5, "orders")
    parts = [part for part in ALL if net in nets_of(part)]
    for order in [dice.permutation(len(parts)).tolist() for _ in range(20)]:
        total = total_of(spec)
        for position in order:
            part = parts[position]
            stacked = clients_of(part, spec, 1)
            weight = 1.0 + position
            part.place(spec, full).add(total, [weight * values[0].astype(np.float64) for values in stacked], weight)
        results.append(total.finish(nines(spec)))
    for one, other in pairwise(results):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("part", "net"), [(part, net) for name, net in REFUSED for part in EXAMPLES[name]], ids=lambda one: str(one)[:30]
)
def test_a_net_that_a_structure_cannot_have_is_refused_by_the_name_of_a_layer(part, net):
    for asked in (lambda: part.build(NETS[net]), lambda: part.place(NETS[net], full_model(NETS[net]))):
        with pytest.raises(PartError, match=REFUSED[part.name, net]):
            asked()


@pytest.mark.parametrize("part", ALL, ids=lambda part: part.label)
def test_what_a_round_makes_of_it_is_a_structure_that_stays_what_it_is(part):
    own = part.at(3, 5)
    assert own == part.at(3, 5)
    assert own.at(3, 5) is own.at(4, 6) is own
    net = nets_of(part)[0]
    largest, now = (sum(p.numel() for p in one.build(NETS[net]).parameters()) for one in (part, own))
    assert now <= largest


def test_a_key_names_the_net():
    keys = [part.key for part in ALL]
    assert len(set(keys)) == len(keys)
    for part in ALL:
        assert from_record(json.loads(json.dumps(part.record)), Structure).key == part.key


@each_part
def test_a_record_makes_the_part_again(part):
    assert from_record(json.loads(json.dumps(part.record)), Structure) == part


@pairs(ALL, but="gates")
def test_every_net_can_be_traced_and_so_priced(part, net):
    spec = NETS[net]
    full, own = (trace(structure.build(spec), spec.input_shape, name=net) for structure in (Full(), part))
    assert own.macs > 0
    assert own.params == sum(parameter.numel() for parameter in part.build(spec).parameters())
    assert part.effects.step_time >= 1.0
    if part in (Width(0.5), Headless(), Channels(0.5), Depth(2), Skip((0,))):
        assert own.macs < full.macs
        assert own.params < full.params


@pytest.mark.parametrize(
    ("part", "net"), [(part, net) for part in ALL if part.name in ONLY for net in sorted(NETS.keys() - ONLY[part.name])]
)
def test_a_structure_that_does_not_apply_to_a_net_says_which_would(part, net):
    with pytest.raises(PartError, match=rf"^{part.name}: got .*expected .*; name "):
        part.build(NETS[net])
