"""Members of a family that lie in each other: what they compute, where they lie, and who trains which."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from fedlite.compression.overlap import OverlapSum
from fedlite.compression.part import PartError, made
from fedlite.compression.structure import STRUCTURES
from fedlite.compression.structure.base import Structure
from fedlite.compression.structure.subnet import Subnet, Supernet
from fedlite.errors import FedliteError
from fedlite.learning.models.spec import spec_of
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

SPEC = spec_of("elastic", (1, 8, 8), 5, 1, channels=16)
SMALL = [
    (("blocks", 1),),
    (("channels", 8),),
    (("kernel", 3),),
    (("expansion", 2),),
    (("blocks", 2), ("channels", 8), ("kernel", 3), ("expansion", 2)),
]


def arrays_of(net):
    return [value.detach().numpy() for value in net.state_dict().values()]


def filled(net, arrays):
    net.load_state_dict({k: torch.from_numpy(np.array(a)) for k, a in zip(net.state_dict(), arrays, strict=True)})
    return net.double().eval()


@pytest.mark.parametrize("choice", SMALL)
def test_a_member_computes_what_the_full_net_does_with_all_else_at_zero(choice):
    part, full = Subnet(choice), SPEC.build().double()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in full.parameters():
            value.copy_(torch.randn(value.shape, generator=draw, dtype=torch.float64))
    arrays = arrays_of(full)
    placement, total = part.place(SPEC, arrays), OverlapSum([array.shape for array in arrays])
    placement.add(total, placement.take(), 1.0)
    rest = total.finish([np.zeros_like(array) for array in arrays])
    own, x = filled(part.build(SPEC), placement.take()), torch.rand(3, 1, 8, 8, generator=draw, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(own(x), filled(SPEC.build(), rest)(x), rtol=1e-12, atol=1e-12)
        assert not torch.allclose(own(x), filled(SPEC.build(), arrays)(x), rtol=0.1)


def test_the_middle_of_a_kernel_and_the_first_channels_are_taken():
    arrays = arrays_of(SPEC.build())
    names = list(SPEC.build().state_dict())
    place = names.index("blocks.0.layers.3.weight")
    taken = Subnet((("kernel", 3), ("channels", 8))).place(SPEC, arrays).take()
    assert np.array_equal(taken[place], arrays[place][:24, :, 1:4, 1:4])


def test_every_device_and_round_has_a_draw_of_its_own_and_each_member_comes_as_often():
    part = Supernet((("blocks", (1, 2, 3)), ("kernel", (3, 5))), seed=4)
    drawn = [part.at(round_, device) for round_ in range(60) for device in range(10)]
    counts = Counter(drawn)
    assert len(counts) == 6
    assert all(60 < count < 140 for count in counts.values())
    assert drawn == [part.at(round_, device) for round_ in range(60) for device in range(10)]
    assert drawn != [Supernet(part.axes, seed=5).at(round_, device) for round_ in range(60) for device in range(10)]
    assert len({part.at(7, device) for device in range(20)}) > 1


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("subnet", {"choice": []}, "choice: got nothing, expected different arguments"),
        ("subnet", {"choice": [["blocks", 1], ["blocks", 2]]}, "choice: got blocks, blocks"),
        ("supernet", {"axes": [["blocks", []]]}, r"axes: got \[\] for 'blocks', expected different values"),
        ("supernet", {"axes": [["blocks", [1, 1]]]}, r"axes: got \[1, 1\] for 'blocks'"),
    ],
)
def test_impossible_choices_are_refused(name, options, text):
    with pytest.raises(PartError, match=text):
        made(name, options, STRUCTURES, Structure)


def test_what_is_no_part_of_the_model_is_refused():
    with pytest.raises(PartError, match=r"subnet: got channels 24 with a tensor 'stem.0.weight' of \(24, 1, 3, 3\)"):
        Subnet((("channels", 24),)).place(SPEC, arrays_of(SPEC.build()))
    with pytest.raises(PartError, match=r"got blocks 4 with a tensor 'blocks.3.* \(none of that name\)"):
        Subnet((("blocks", 4),)).place(SPEC, arrays_of(SPEC.build()))
    with pytest.raises(PartError, match=r"supernet: got a model that is not the largest of .*{.channels.: 24}"):
        Supernet((("channels", (8, 24)),)).build(SPEC)
    with pytest.raises(FedliteError, match="kernel: got 4, expected an odd number"):
        Subnet((("kernel", 4),)).build(SPEC)


SCENARIO = """
name: family
seed: 3
fleet:
  devices: 8
  mix: {pixel-4: 50 %, pi-4b: 50 %}
  rules: {charging: false, unmetered: false, idle: false}
task:
  data: digits
  clients: 8
  partition: iid
  model: {name: elastic, options: {blocks: 2, channels: 16}}
training:
  rounds: 8
  clients_per_round: 8
  local: {epochs: 2, batch_size: 16, lr: 0.1}
clients:
  - for: {profile: pi-4b}
    plan: {structure: {name: subnet, choice: [[blocks, 1], [channels, 8]]}}
  - for: any
    plan: {structure: {name: supernet, axes: [[blocks, [1, 2]], [kernel, [3, 5]]]}}
"""


def test_a_fleet_trains_one_set_of_weights_and_each_job_costs_what_it_trains(tmp_path):
    done = run(parse_scenario(SCENARIO), out=tmp_path / "run", settings=Settings("local"))
    drawn = done.clients.filter(done.clients["plan"] == "supernet of 4")
    assert len(set(drawn["up_bytes"].to_list())) == len(set(drawn["down_bytes"].to_list())) == 4
    fixed = done.clients.filter(done.clients["plan"] == "blocks 1, channels 8")
    assert len(set(fixed["up_bytes"].to_list())) == 1
    assert fixed["up_bytes"].max() < drawn["up_bytes"].min()
    assert done.rounds["accuracy"][-1] > done.rounds["accuracy"][0] + 0.2
