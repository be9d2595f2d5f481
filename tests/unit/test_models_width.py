"""A width slice is the dense model with the other channels at zero, for every model of the zoo."""

from __future__ import annotations

from inspect import signature
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlite.compression.structure.width import in_order, index_maps
from fedlite.learning.models import MODELS, ModelError, build, factory_of
from fedlite.learning.models.widths import CHANNEL_MULTIPLE, scaled

CASES = [
    ("mlp", (12,), {"hidden": (24, 16)}),
    ("cnn", (1, 8, 8), {}),
    ("cnn", (1, 8, 8), {"kernel": 5}),
    ("lenet5", (1, 28, 28), {}),
    ("cnn1d", (6, 60), {}),
    ("squeezenet1.1", (3, 40, 40), {}),
    ("char-lstm", (12,), {"units": 32}),
    ("char-transformer", (12,), {}),
    ("ds-cnn", (1, 49, 10), {}),
    ("ds-cnn", (1, 49, 10), {"norm": "batch"}),
    ("resnet8", (3, 16, 16), {}),
    ("resnet8", (3, 16, 16), {"norm": "batch"}),
    ("resnet18", (3, 32, 32), {}),
    ("resnet50", (3, 32, 32), {}),
    ("mobilenet-v1", (3, 32, 32), {"alpha": 0.5}),
    ("mobilenet-v2", (3, 32, 32), {}),
    ("mobilenet-v2", (3, 32, 32), {"stem": "small"}),
    ("mobilenet-v3-small", (3, 32, 32), {}),
    ("mobilenet-v3-small", (3, 32, 32), {"norm": "batch"}),
    ("efficientnet-b0", (3, 32, 32), {}),
    ("efficientnet-b0", (3, 32, 32), {"norm": "batch"}),
    ("efficientnet-lite0", (3, 32, 32), {}),
    ("resnet8-exits", (3, 16, 16), {"outputs": "all"}),
    ("cnn-exits", (1, 9, 9), {"outputs": "all"}),
    ("elastic", (1, 8, 8), {}),
    ("elastic", (1, 8, 8), {"norm": "batch"}),
    ("autoencoder", (64,), {}),
    ("detector", (1, 8, 8), {}),
    ("detector", (1, 8, 8), {"norm": "batch"}),
]
IDS = [f"{name}-{params.get('norm', '')}" for name, _, params in CASES]


def pair(name, shape, params, width):
    """A full and a narrow model, the narrow one holding the full one's prefix, and the rest of the full one zero."""
    full = build(name, input_shape=shape, num_classes=7, seed=0, **params).double().eval()
    narrow = build(name, input_shape=shape, num_classes=7, seed=1, width=width, **params).double().eval()
    names = list(full.state_dict())
    blocks = [in_order(names, getattr(m, "width_blocks", dict)()) for m in (full, narrow)]
    shapes = [[tuple(t.shape) for t in m.state_dict().values()] for m in (full, narrow)]
    maps = index_maps(*shapes, *blocks)
    sub, zeroed = {}, {}
    for key, cut in zip(names, maps, strict=True):
        dense = full.state_dict()[key].numpy()
        sub[key] = torch.from_numpy(np.array(dense[cut]))
        zeroed[key] = np.zeros_like(dense)
        zeroed[key][cut] = dense[cut]
        zeroed[key] = torch.from_numpy(zeroed[key])
    narrow.load_state_dict(sub)
    full.load_state_dict(zeroed)
    return full, narrow


@pytest.mark.parametrize("width", [0.3, 0.5, 0.77])
@pytest.mark.parametrize(("name", "shape", "params"), CASES, ids=IDS)
def test_the_slice_computes_what_the_dense_model_with_zeroed_channels_computes(name, shape, params, width):
    full, narrow = pair(name, shape, params, width)
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if name.startswith("char-"):
        x = (x * 7).floor()
    with torch.no_grad():
        expected, got = full(x), narrow(x)

    assert expected.abs().max() > 0
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "shape", "params"), CASES, ids=IDS)
def test_a_narrower_model_is_nested_in_every_wider_one(name, shape, params):
    sizes = []
    for width in (0.01, 0.2, 0.45, 0.8, 1.0):
        model = build(name, input_shape=shape, num_classes=7, seed=0, width=width, **params)
        sizes.append([tuple(t.shape) for t in model.state_dict().values()])
    for small, large in pairwise(sizes):
        assert all(a <= b for s, t in zip(small, large, strict=True) for a, b in zip(s, t, strict=True))
    assert sizes[0] != sizes[-1]


@pytest.mark.parametrize("name", ["squeezenet1.1", "char-lstm"])
def test_declared_blocks_fill_their_dimension(name):
    shape = (12,) if name == "char-lstm" else (3, 40, 40)
    for width in (0.37, 1.0):
        model = build(name, input_shape=shape, num_classes=7, seed=0, width=width)
        state = model.state_dict()
        for key, dims in model.width_blocks().items():
            for dim, sizes in dims.items():
                assert sum(sizes) == state[key].shape[dim]


@pytest.mark.parametrize("name", ["shufflenet-v2-x0.5", "shufflenet-v2-x1.0"])
def test_a_net_that_shuffles_its_maps_has_no_slices(name):
    with pytest.raises(ModelError, match="unknown parameter width; expected norm, stem"):
        build(name, input_shape=(3, 32, 32), num_classes=7, seed=0, width=0.5)


def test_every_model_that_can_be_sliced_is_tried_here():
    sliced = {name for name in MODELS if "width" in signature(factory_of(name)).parameters}
    assert sliced == {name for name, _, _ in CASES}


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 200), st.floats(0.001, 1.0), st.floats(0.001, 1.0), st.sampled_from([1, CHANNEL_MULTIPLE]))
def test_scaling_is_monotone_bounded_and_keeps_the_multiple(groups, a, b, multiple):
    channels = groups * multiple
    low, high = sorted((a, b))

    assert multiple <= scaled(channels, low, multiple) <= scaled(channels, high, multiple) <= channels
    assert scaled(channels, low, multiple) % multiple == 0
    assert scaled(channels, 1.0, multiple) == channels
