"""Bits by the names of layers."""

import numpy as np
import pytest
import torch

from fedlite.compression.constraint.base import Received
from fedlite.compression.constraint.fake_quant import fake_quantize
from fedlite.compression.constraint.mixed_bits import FLOAT, MixedBits
from fedlite.compression.part import PartError
from fedlite.rng import stream

NAMES = ["features.0.weight", "features.0.bias", "features.2.weight", "fc.weight", "fc.bias"]


def arrays():
    rng = stream(0, "weights")
    return [rng.normal(size=shape).astype(np.float32) for shape in ((4, 2, 3, 3), (4,), (4, 4, 3, 3), (5, 4), (5,))]


def test_the_first_pattern_that_fits_decides_and_biases_stay():
    part = MixedBits((("features.0.*", 4), ("features.*", 2), ("fc.weight", 32)), others=8)
    assert part.of(NAMES, arrays()) == [4, FLOAT, 2, FLOAT, FLOAT]
    assert MixedBits((("*.2.*", 3),)).of(NAMES, arrays()) == [8, FLOAT, 3, 8, FLOAT]


def test_each_layer_is_rounded_as_fake_quant_rounds_it():
    part = MixedBits((("features.0.*", 4), ("fc.*", 32)), others=6)
    state = part.init(Received(arrays(), NAMES, 1, {}, stream(0, "x")))
    tensors = [torch.from_numpy(array) for array in arrays()]
    seen = part.seen(tensors, state, stacked=False)
    assert torch.equal(seen[0], fake_quantize(tensors[0], 4))
    assert torch.equal(seen[2], fake_quantize(tensors[2], 6))
    assert all(torch.equal(seen[i], tensors[i]) for i in (1, 3, 4))


@pytest.mark.parametrize(
    ("bits", "others", "message"), [((("fc.*", 1),), 8, "bits: got 1"), ((), 16, "others: got 16")]
)
def test_widths_are_checked(bits, others, message):
    with pytest.raises(PartError, match=message):
        MixedBits(bits, others)


def test_a_pattern_that_fits_no_weight_names_those_there_are():
    with pytest.raises(PartError, match=r"got 'fc.bias', expected one that fits a weight: features.0.weight, feat"):
        MixedBits((("fc.bias", 4),)).of(NAMES, arrays())
