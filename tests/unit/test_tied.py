"""Sharing: which layers are one, that the state has them once, and that every one of them still runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.overlap import OverlapSum
from fedlite.compression.part import PartError
from fedlite.compression.structure.tied import Again, Tied
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace
from fedlite.learning.training import ClientJob, LocalConfig, Trainer

TEXT = spec_of("char-transformer", (8,), 11, 3, features=8, heads=2, hidden=12, layers=3)


def arrays_of(net):
    return [value.detach().numpy().copy() for value in net.state_dict().values()]


def tokens(rows=5):
    return torch.randint(11, (rows, 8), generator=torch.Generator().manual_seed(0)).float()


def test_blocks_share_and_the_state_has_them_once():
    full, net = TEXT.build(), Tied().build(TEXT)
    assert [name for name in full.state_dict() if not name.startswith(("blocks.1", "blocks.2"))] == list(
        net.state_dict()
    )
    assert sum(isinstance(module, Again) for module in net.modules()) == 2 * 8
    first, thin = (trace(each, (8,), name="net") for each in (full, net))
    assert thin.params == sum(p.numel() for p in net.parameters()) < 0.5 * first.params
    assert thin.macs == first.macs, "every layer still runs"


def test_it_computes_what_the_full_net_computes_with_copies():
    net, full = Tied().build(TEXT), TEXT.build()
    state = {**net.state_dict()}
    for name in full.state_dict():
        state[name] = state[name.replace("blocks.1", "blocks.0").replace("blocks.2", "blocks.0")]
    full.load_state_dict(state)
    torch.testing.assert_close(net(tokens()), full(tokens()), rtol=0, atol=0)


def test_means_go_down_and_copies_come_back():
    spec = spec_of("mlp", (4,), 3, 1, hidden=(4, 4))
    full = [np.full(array.shape, float(k), np.float32) for k, array in enumerate(arrays_of(spec.build()))]
    placement = Tied().place(spec, full)
    # Two layers of 4 x 4, whose weights are 0 and 2, and whose biases are 1 and 3; the third is of its own.
    assert [array.flat[0] for array in placement.take()] == [1.0, 2.0, 4.0, 5.0]
    total = OverlapSum([array.shape for array in full])
    held = [np.eye(4), None, None, None]
    placement.add(total, [3.0 * (array + 1.0) for array in placement.take()], 3.0, held)
    nines = [np.full(array.shape, 9.0) for array in full]
    back = total.finish(nines, zero_masked=False)
    np.testing.assert_array_equal(back[0], np.where(np.eye(4) > 0, 2.0, 9.0))
    np.testing.assert_array_equal(back[0], back[2])
    assert [array.flat[0] for array in back[1::2]] == [3.0, 3.0, 6.0]


def test_a_shared_layer_learns_from_each_of_its_places_alone_and_side_by_side():
    net = Tied().build(TEXT)
    arrays, x = arrays_of(net), tokens(40).numpy()
    y = x[:, 2].astype(np.int64)
    jobs = [ClientJob(np.arange(k, 40, 4), seed=k) for k in range(4)]
    config = LocalConfig(epochs=2, batch_size=5, lr=0.05)
    one, many = (
        Trainer(net, mode=mode, objective="next-character").train(arrays, jobs, x, y, config)
        for mode in ("sequential", "batched")
    )
    for name, mine, other, was in zip(net.state_dict(), one.arrays, many.arrays, arrays, strict=True):
        np.testing.assert_allclose(other, mine, rtol=0, atol=1e-5)
        # What is added to all keys alike, softmax takes out again.
        assert name.endswith("key.bias") or not np.array_equal(mine[0], was)


def test_levels_may_be_named_and_what_cannot_share_is_refused_by_name():
    spec = spec_of("mlp", (4,), 4, 1, hidden=(4, 4))
    assert list(Tied((("1", "5"),)).build(spec).state_dict()) == [
        "1.weight",
        "1.bias",
        "3.weight",
        "3.bias",
    ]
    with pytest.raises(PartError, match=r"^levels: got '7', expected one of 1, 3, 5"):
        Tied((("1", "7"),)).build(spec)
    with pytest.raises(PartError, match=r"^levels: got 1, 3, expected two or more"):
        Tied((("1", "3"),)).build(spec_of("mlp", (4,), 4, 1, hidden=(5, 5)))
    with pytest.raises(PartError, match=r"got 1, 3, of which no two"):
        Tied().build(spec_of("mlp", (4,), 3, 1, hidden=(5,)))


def test_layers_that_differ_in_a_setting_do_not_share():
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 3))

    class Spec:
        def build(self, share=1.0):
            return net

    assert [type(layer) for layer in Tied().build(Spec())] == [nn.Conv2d, nn.Conv2d, Again]
