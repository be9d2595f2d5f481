"""Shallower nets compute what the full one computes in their part of it, and are averaged where they overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlite.compression.overlap import OverlapSum
from fedlite.compression.part import PartError, made
from fedlite.compression.structure import STRUCTURES
from fedlite.compression.structure.base import Structure
from fedlite.compression.structure.depth import Depth, Skip, residual_blocks
from fedlite.errors import UnknownNameError
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

EXITS = [("resnet8-exits", (3, 16, 16), {"norm": "batch"}), ("cnn-exits", (1, 9, 9), {})]
RESIDUAL = {
    "resnet8": ["3", "4", "5"],
    "resnet18": ["4", "5", "6", "7", "8", "9", "10", "11"],
    "mobilenet-v2": ["5", "7", "8", "10", "11", "12", "14", "15", "17", "18"],
    "mobilenet-v3-small": ["5", "7", "8", "10", "12", "13"],
    "resnet8-exits": ["blocks.0", "blocks.1", "blocks.2"],
}


def given(part, spec, seed=3):
    """A full net in double precision, and the part's net with what it takes of it."""
    full = spec.build().double().eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in full.state_dict().values():
            if value.dim() == 1:  # slopes, biases, running means and variances, which all are 0 or 1 at first
                value.copy_(torch.rand(value.shape, generator=draw, dtype=torch.float64) + 0.5)
    own = part.build(spec).double().eval()
    taken = part.place(spec, [value.numpy() for value in full.state_dict().values()]).take()
    own.load_state_dict(dict(zip(own.state_dict(), map(torch.from_numpy, taken), strict=True)))
    return full, own, torch.rand(2, *spec.input_shape, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(("name", "shape", "options"), EXITS)
def test_the_first_blocks_give_the_first_exits_of_the_full_net(name, shape, options, blocks):
    full, own, x = given(Depth(blocks), spec_of(name, shape, 5, 0, outputs="all", **options))
    with torch.no_grad():
        assert own(x).shape == (2, blocks, 5)
        assert len({tuple(row) for row in full(x)[0].tolist()}) == 3
        torch.testing.assert_close(own(x), full(x)[:, :blocks], rtol=0, atol=0)
        torch.testing.assert_close(own(x), torch.stack(full.exits(x)[:blocks], dim=1), rtol=0, atol=0)


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(("name", "shape", "options"), EXITS)
def test_in_plain_use_a_shallow_net_has_one_exit_and_nothing_that_it_does_not_compute(name, shape, options, blocks):
    spec = spec_of(name, shape, 5, 0, **options)
    full, own, x = given(Depth(blocks), spec)
    with torch.no_grad():
        torch.testing.assert_close(own(x), full.exits(x)[blocks - 1], rtol=0, atol=0)
        torch.testing.assert_close(full(x), full.exits(x)[-1], rtol=0, atol=0)
    traced = trace(own.float(), shape, name=name)
    assert not [layer for layer in traced.layers if layer.name == "(unused parameters)"]
    assert list(own.heads) == [str(blocks - 1)]


def test_exits_are_computed_as_they_are_asked_for():
    net = spec_of("cnn-exits", (1, 8, 8), 5, 0).build()
    ran = []
    for index, block in enumerate(net.blocks):
        block.register_forward_hook(lambda *_, index=index: ran.append(index))
    next(net.each(torch.zeros(1, 1, 8, 8)))
    assert ran == [0]


@pytest.mark.parametrize("name", RESIDUAL)
def test_the_blocks_that_can_be_left_out_are_known(name):
    assert list(residual_blocks(spec_of(name, (3, 32, 32), 5, 0).build())) == RESIDUAL[name]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("resnet8", (0, 2)),
        ("resnet8", (1,)),
        ("resnet18", (0, 2, 7)),
        ("mobilenet-v2", (0, 9)),
        ("resnet8-exits", (0, 1)),
    ],
)
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_a_net_without_blocks_is_the_full_one_whose_branches_give_zero(name, blocks, norm):
    part, spec = Skip(blocks), spec_of(name, (3, 32, 32), 5, 0, norm=norm)
    full, own, x = given(part, spec)
    with torch.no_grad():
        whole = full(x)
        for block in blocks:
            last = full.get_submodule(RESIDUAL[name][block]).layers[-1]
            last.weight.zero_()
            last.bias.zero_()
        torch.testing.assert_close(own(x), full(x), rtol=1e-12, atol=1e-12)
        assert not torch.allclose(own(x), whole)
    assert trace(own.float(), (3, 32, 32), name=name).macs < trace(full.float(), (3, 32, 32), name=name).macs


def test_shallow_and_deep_clients_are_averaged_where_they_overlap():
    spec = spec_of("cnn-exits", (1, 8, 8), 5, 0, outputs="all")
    names = list(spec.build().state_dict())
    full = [value.numpy() for value in spec.build().state_dict().values()]
    total = OverlapSum([value.shape for value in full])
    for blocks, value, weight in ((1, 2.0, 3.0), (2, 4.0, 1.0)):
        place = Depth(blocks).place(spec, full)
        place.add(total, [np.full(a.shape, value * weight) for a in place.take()], weight)
    means = dict(zip(names, total.finish(full), strict=True))
    assert (means["blocks.0.0.weight"] == 2.5).all()
    assert (means["heads.0.2.bias"] == 2.5).all()
    assert (means["blocks.1.0.weight"] == 4.0).all()
    assert (means["heads.1.2.weight"] == 4.0).all()
    assert (means["blocks.2.0.weight"] == full[names.index("blocks.2.0.weight")]).all()
    assert (means["heads.2.2.bias"] == full[names.index("heads.2.2.bias")]).all()


def test_what_a_mask_takes_of_a_shallow_client_counts_for_nobody():
    spec = spec_of("cnn-exits", (1, 8, 8), 5, 0)
    names = list(spec.build().state_dict())
    full = [value.numpy() for value in spec.build().state_dict().values()]
    total = OverlapSum([value.shape for value in full])
    place = Depth(1).place(spec, full)
    taken = place.take()
    masks = [None, None, np.zeros(taken[2].shape), None]
    place.add(total, [np.full(a.shape, 2.0) for a in taken], 1.0, masks)
    means = dict(zip(names, total.finish(full, zero_masked=False), strict=True))
    masked = names.index("heads.0.2.weight")
    assert (means["heads.0.2.weight"] == full[masked]).all()
    assert (means["heads.0.2.bias"] == 2.0).all()


def test_nothing_is_left_of_a_block_whose_shortcut_does_nothing():
    left = residual_blocks(spec_of("resnet8", (3, 16, 16), 5, 0).build())
    assert [type(one).__name__ for one in left.values()] == ["Identity", "Shortcut", "Shortcut"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "depth", "blocks": 0}, "blocks: got 0, expected 1 or more"),
        ({"name": "skip", "blocks": []}, r"blocks: got \[\], expected one or more different numbers from 0"),
        ({"name": "skip", "blocks": [1, 1]}, r"blocks: got \[1, 1\]"),
        ({"name": "skip", "blocks": [-1]}, r"blocks: got \[-1\]"),
    ],
)
def test_impossible_blocks_are_refused(options, text):
    with pytest.raises(PartError, match=text):
        made(options.pop("name"), options, STRUCTURES, Structure)


@pytest.mark.parametrize(
    ("part", "model", "text"),
    [
        (Depth(4), "resnet8-exits", "got 4 blocks of a net that has 3, expected at most as many; write for example"),
        (Depth(1), "resnet8", "got a Sequential, whose blocks have no exits.*name a model such as 'resnet8-exits'"),
        (
            Skip((1, 3)),
            "resnet8",
            r"got block 3, expected one of the net's residual blocks: 0 \(3\), 1 \(4\), 2 \(5\);",
        ),
        (Skip((0,)), "squeezenet1.1", "expected one of the net's residual blocks: none, for this net has none"),
    ],
)
def test_a_net_that_cannot_be_cut_there_says_where_it_can(part, model, text):
    with pytest.raises(PartError, match=text):
        part.build(spec_of(model, (3, 32, 32), 5, 0))


def test_an_exit_net_gives_the_last_exit_or_all():
    with pytest.raises(UnknownNameError, match=r"outputs.*got 'first'.*(last, all|all, last)"):
        spec_of("cnn-exits", (1, 8, 8), 5, 0, outputs="first").build()


SCENARIO = """
name: depths
seed: 3
fleet:
  devices: 8
  mix: {pixel-4: 50 %, pi-4b: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task:
  data: digits
  clients: 8
  partition: iid
  model: {name: cnn-exits, options: {channels: [8, 16], pools: [2, 2], outputs: all}}
  objective: exits
training:
  rounds: 6
  clients_per_round: 8
  local: {epochs: 2, batch_size: 16, lr: 0.1}
clients:
  - for: {profile: pi-4b}
    plan: {structure: {name: depth, blocks: 1}}
  - for: any
    plan: {}
"""


def test_a_fleet_of_two_depths_learns_and_shallow_devices_send_less(tmp_path):
    done = run(parse_scenario(SCENARIO), out=tmp_path / "run", settings=Settings("local"))
    last = done.rounds.row(-1, named=True)
    assert last["accuracy"] > 0.8
    assert last["first_accuracy"] > 0.7
    sent = dict(done.clients.group_by("profile").agg(pl_max("up_bytes")).iter_rows())
    assert sent["pi-4b"] < 0.6 * sent["pixel-4"]


def pl_max(column):
    import polars as pl

    return pl.col(column).max()
