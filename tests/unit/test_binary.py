"""Binary weights: signs times the mean magnitude of a row, straight through where they are not clipped."""

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.constraint.base import Received
from fedlite.compression.constraint.binary import Binary, binarised, packed, unpacked
from fedlite.compression.part import PartError
from fedlite.rng import stream


def weights(shape=(5, 3, 2, 2), seed=0):
    return stream(seed, "binary").normal(size=shape).astype(np.float32)


def test_a_row_is_plus_or_minus_its_mean_magnitude():
    array = np.array([[0.5, -1.5, 0.0], [-0.25, -0.25, 0.25]], np.float32)
    np.testing.assert_allclose(
        binarised(torch.from_numpy(array)).numpy(), [[2 / 3, -2 / 3, 2 / 3], [-0.25, -0.25, 0.25]], rtol=1e-6
    )


def test_the_scale_is_the_best_of_all():
    """XNOR-Net, equation 6: no other scale is nearer to the row."""
    array = weights((7, 30))
    made = binarised(torch.from_numpy(array)).numpy()
    best = ((array - made) ** 2).sum(axis=1)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert (((array - factor * made) ** 2).sum(axis=1) > best).all()


def test_the_gradient_passes_where_the_weight_is_not_clipped():
    weight = torch.tensor([[0.5, -1.5, 1.0, -0.9]], requires_grad=True)
    slope = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    (binarised(weight) * slope).sum().backward()
    assert weight.grad.tolist() == [[1.0, 0.0, 3.0, 4.0]]


@pytest.mark.parametrize("shape", [(5, 3, 2, 2), (4, 9), (1, 1), (3, 8)])
def test_what_is_stored_is_what_was_seen_bit_for_bit_in_the_bytes_it_takes(shape):
    array = weights(shape)
    signs, scales = packed(array)
    assert signs.nbytes == -(-array.size // 8)
    assert scales.nbytes == 4 * shape[0]
    assert unpacked(signs, scales, shape).tobytes() == binarised(torch.from_numpy(array)).numpy().tobytes()


def net():
    # Values do not matter: the state is drawn anew each time.
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))


def received(model):
    names = [name for name, _ in model.named_parameters()]
    return Received([p.detach().numpy() for p in model.parameters()], names, 1, {}, stream(0, "x"))


def test_first_and_last_layer_are_kept_by_option():
    model = net()
    assert Binary().init(received(model)) == [False, False, True, False, False, False]
    assert Binary(ends=True).init(received(model)) == [True, False, True, False, True, False]
    state = Binary().init(received(model))
    seen = Binary().seen(list(model.parameters()), state, stacked=False)
    weights = list(model.parameters())
    assert all(seen[i] is weights[i] for i in (0, 1, 3, 4, 5))
    np.testing.assert_allclose(seen[2].detach().abs(), weights[2].detach().abs().mean(1, keepdim=True).expand(6, 6))


def test_trained_weights_stay_where_the_gradient_passes():
    weight = torch.tensor([[3.0, -0.5]])
    Binary(ends=True).after([weight, bias := torch.tensor([7.0])], [True, False], stacked=False)
    assert (weight.tolist(), bias.tolist()) == ([[1.0, -0.5]], [7.0])


def test_a_net_without_a_layer_between_says_so():
    with pytest.raises(PartError, match=r"only weights are 0.weight, 2.weight, expected a layer between"):
        Binary().init(received(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))))


def test_it_claims_no_speed_and_no_store_that_one_codec_could_not_hold():
    effects = Binary().effects
    assert effects.step_time == pytest.approx(1 + 5 * (1 / (0.9 * 0.97) ** 0.5 - 1))
    assert (effects.stored, effects.inference) == ((), "fp32")
