"""Low rank: the nearest factors, nets of that rank exactly, and which layers are cut."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.overlap import OverlapSum
from fedlite.compression.part import PartError
from fedlite.compression.structure.low_rank import LowRank, factorable, factors, is_smaller, ranks_for_energy
from fedlite.learning.models.spec import spec_of
from fedlite.learning.tracing import trace

CNN = spec_of("cnn", (1, 8, 8), 10, 3, channels=(8, 16))
SIGNALS = spec_of("cnn1d", (6, 60), 7, 3)


def arrays_of(net):
    return [value.detach().numpy().copy() for value in net.state_dict().values()]


def loaded(net, arrays):
    net.load_state_dict({key: torch.from_numpy(np.array(a)) for key, a in zip(net.state_dict(), arrays, strict=True)})
    return net


def test_the_factors_are_the_nearest_of_their_rank():
    """Eckart, Young: what is left is the root of the sum of the squares of the other singular values."""
    matrix = np.random.default_rng(0).normal(size=(9, 14)).astype(np.float32)
    sizes = np.linalg.svd(matrix, compute_uv=False)
    for rank in (1, 4, 9):
        first, second = factors(matrix, rank)
        assert (first.shape, second.shape, first.dtype) == ((rank, 14), (9, rank), np.float32)
        left = np.linalg.norm(matrix - second @ first)
        assert left == pytest.approx(np.sqrt((sizes[rank:] ** 2).sum()), rel=1e-4, abs=1e-5)
        # Balanced: both carry the roots of the singular values.
        np.testing.assert_allclose((first**2).sum(axis=1), sizes[:rank], rtol=1e-4)
        np.testing.assert_allclose((second**2).sum(axis=0), sizes[:rank], rtol=1e-4)


@pytest.mark.parametrize("spec", [CNN, SIGNALS], ids=lambda spec: spec.name)
def test_a_model_of_that_rank_is_computed_exactly(spec):
    """The second pass starts from a model whose layers have the rank already: both nets give the same outputs."""
    part = LowRank(0.3)
    full = spec.build()
    total = OverlapSum([array.shape for array in arrays_of(full)])
    placement = part.place(spec, arrays_of(full))
    placement.add(total, [tensor.astype(np.float64) for tensor in placement.take()], 1.0)
    near = total.finish(arrays_of(full))
    thin = loaded(part.build(spec), part.place(spec, near).take())
    x = torch.rand(5, *spec.input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = loaded(spec.build(), near)(x)
        torch.testing.assert_close(thin(x), wanted, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(full(x), wanted, atol=1e-3), "the rank takes something away"


def test_strides_paddings_and_dilations_stay_with_the_kernel():
    layer = nn.Conv2d(6, 24, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2))
    spec = Own(nn.Sequential(layer))
    part = LowRank(ranks=(("0", 15),))
    first, second = factors(layer.weight.detach().numpy(), 15)
    thin = part.build(spec)[0]
    assert (thin[0].weight.shape, thin[1].weight.shape) == (first.shape, second.shape)
    thin[0].weight.data, thin[1].weight.data = torch.from_numpy(first), torch.from_numpy(second)
    thin[1].bias.data = layer.bias.data
    near = (second.reshape(24, 15) @ first.reshape(15, -1)).reshape(layer.weight.shape)
    x = torch.rand(2, 6, 11, 13, generator=torch.Generator().manual_seed(2))
    wanted = nn.functional.conv2d(x, torch.from_numpy(near), layer.bias, (2, 1), (1, 2), (1, 2))
    torch.testing.assert_close(thin(x), wanted, rtol=1e-4, atol=1e-5)


class Own:
    """A net of the test's own, as a spec."""

    name = "own"

    def __init__(self, net):
        self.net = net

    def build(self, share=1.0):
        assert share == 1.0
        return copy.deepcopy(self.net)


def test_only_layers_that_get_smaller_are_cut_and_the_trace_says_what_it_saves():
    full, thin = CNN.build(), LowRank(0.25).build(CNN)
    # 8 filters of 9 numbers at rank 2: 2 x 17 = 34 < 72; 10 x 128 at rank 2: 276 < 1280.
    assert [key for key in thin.state_dict() if key.endswith("weight")] == [
        "0.0.weight", "0.1.weight", "3.0.weight", "3.1.weight", "7.0.weight", "7.1.weight", "9.0.weight", "9.1.weight"
    ]  # fmt: skip
    tall = LowRank(0.9).build(CNN)
    # 10 x 128 at rank 9: 1242 < 1280; 8 x 9 at rank 7: 119 > 72 stays whole.
    assert [key for key in tall.state_dict() if key.startswith(("0", "9"))] == [
        "0.weight", "0.bias", "9.0.weight", "9.1.weight", "9.1.bias"
    ]  # fmt: skip
    traces = [trace(net, (1, 8, 8), name="net") for net in (full, thin)]
    assert traces[1].macs < 0.5 * traces[0].macs
    assert traces[1].params == sum(p.numel() for p in thin.parameters()) < 0.4 * traces[0].params


def test_no_bias_comes_where_there_was_none():
    net = nn.Sequential(nn.Linear(12, 12, bias=False), nn.Conv1d(8, 8, 3, bias=False), nn.Conv2d(8, 8, 3, groups=8))
    thin = LowRank(0.2).build(Own(net))
    assert list(thin.state_dict()) == ["0.0.weight", "0.1.weight", "1.0.weight", "1.1.weight", "2.weight", "2.bias"]


def test_ranks_for_energy_keep_what_they_promise_and_no_rank_less():
    net = nn.Sequential(nn.Linear(20, 16), nn.Linear(16, 3))
    spectrum = np.zeros((16, 20), np.float32)
    np.fill_diagonal(spectrum[:4, :4], [3.0, 2.0, 1.0, 0.5])  # squares 9, 4, 1, 0.25 of 14.25
    net[0].weight.data = torch.from_numpy(spectrum)
    assert ranks_for_energy(net, 0.6)[0] == ("0", 1)
    assert dict(ranks_for_energy(net, 13 / 14.25))["0"] == 2
    assert dict(ranks_for_energy(net, 0.95))["0"] == 3
    assert dict(ranks_for_energy(net, 1.0))["0"] == 4
    for _, rank in ranks_for_energy(net, 0.99):
        assert rank >= 1
    assert "1" not in dict(ranks_for_energy(net, 1.0)), "3 x 16 at rank 3 is no smaller"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (LowRank(0.25), r"at which none of 0 gets smaller"),
        (LowRank(ranks=(("1", 2),)), "got the layer '1', expected a linear layer or an ungrouped convolution .*: 0;"),
        (LowRank(ranks=(("0", 1),)), "got rank 1 for '0', expected at most 0"),
    ],
)
def test_what_does_not_apply_is_told_by_its_layer(part, said):
    with pytest.raises(PartError, match=said):
        part.build(Own(nn.Sequential(nn.Linear(2, 2))))


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.5}, {"ranks": (("fc", 0),)}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(PartError, match=r"^(share|ranks): got"):
        LowRank(**options)


def test_factorable_layers_are_those_whose_arithmetic_is_known():
    class Other(nn.Linear):
        pass

    net = nn.Sequential(nn.Linear(4, 4), Other(4, 4), nn.Conv2d(4, 4, 1, groups=2), nn.ConvTranspose2d(4, 4, 2))
    assert list(factorable(net)) == ["0"]
    assert is_smaller((10, 10), 4)
    assert not is_smaller((10, 10), 5)
