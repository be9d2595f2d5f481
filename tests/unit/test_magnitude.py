import numpy as np
import pytest
import torch

from fedlite.compression.constraint.base import Received
from fedlite.compression.constraint.magnitude import Magnitude, MaskError, masks
from fedlite.compression.part import PartError
from fedlite.rng import stream

NAMES = ["conv.weight", "conv.bias", "norm.weight", "norm.num_batches_tracked", "fc.weight"]


def model():
    rng = stream(1, "model")
    return [
        rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        np.full(8, 1e-9, np.float32),
        np.ones(8, np.float32),
        np.array(3),
        (10 * rng.normal(size=(5, 40))).astype(np.float32),
    ]


def density(made):
    """The share of weights that stay, counted over the masked tensors alone."""
    masked = [mask for mask in made if mask is not None]
    return sum(mask.sum() for mask in masked) / sum(mask.size for mask in masked)


def apply(arrays, made):
    return [array if mask is None else array * mask for array, mask in zip(arrays, made, strict=True)]


@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
def test_the_share_of_zeros_is_exact_and_the_kept_are_the_largest(scope, sparsity):
    arrays = model()
    made = masks(arrays, NAMES, sparsity, scope)
    groups = [[0, 4]] if scope == "global" else [[0], [4]]
    for group in groups:
        size = sum(arrays[i].size for i in group)
        kept = np.concatenate([np.abs(arrays[i][made[i] > 0]) for i in group])
        gone = np.concatenate([np.abs(arrays[i][made[i] == 0]) for i in group])
        assert gone.size == round(sparsity * size)
        assert gone.max(initial=0) <= kept.min()


def test_global_scope_leaves_unequal_densities_and_local_scope_equal_ones():
    conv, dense = (masks(model(), NAMES, 0.5, "global")[i] for i in (0, 4))
    assert density([conv]) < 0.2
    assert density([dense]) > 0.8
    conv, dense = (masks(model(), NAMES, 0.5, "local")[i] for i in (0, 4))
    assert density([conv]) == density([dense]) == 0.5


def test_biases_norms_and_counters_stay_dense():
    made = masks(model(), NAMES, 0.9)
    assert [mask is None for mask in made] == [False, True, True, True, False]
    pruned = apply(model(), made)
    np.testing.assert_array_equal(pruned[1], model()[1])
    assert pruned[3] == 3
    assert density(made) == pytest.approx(0.1, abs=1e-3)


def test_masking_sets_the_smallest_weights_to_zero_and_keeps_the_rest():
    arrays = [np.array([[0.1, -3.0], [0.2, -0.05]], np.float32)]
    (pruned,) = apply(arrays, masks(arrays, ["w"], 0.5))
    assert pruned.tolist() == [[0.0, -3.0], [np.float32(0.2), 0.0]]
    assert pruned.dtype == np.float32


def test_equal_magnitudes_are_broken_by_position():
    (mask,) = masks([np.ones((2, 4), np.float32)], ["w"], 0.5)
    assert mask.tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


def test_masking_twice_is_masking_once():
    arrays = model()
    made = masks(arrays, NAMES, 0.7)
    once = apply(arrays, made)
    for a, b in zip(apply(once, masks(once, NAMES, 0.7)), once, strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_arguments_say_what_is_expected():
    with pytest.raises(MaskError, match="got sparsity 1, expected from 0 to below 1"):
        masks(model(), NAMES, 1)
    with pytest.raises(MaskError, match="got 1 names for 5 tensors"):
        masks(model(), ["a"], 0.5)
    with pytest.raises(MaskError, match="w holds values that are not finite"):
        masks([np.full((2, 2), np.nan, np.float32)], ["w"], 0.5)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_the_constraint_holds_the_masks_of_what_was_received_and_zeroes_in_place(scope):
    floats = [array for array in model() if array.dtype.kind == "f"]
    names = [name for name, array in zip(NAMES, model(), strict=True) if array.dtype.kind == "f"]
    constraint = Magnitude(0.7, scope)
    state = constraint.init(Received(floats, names, 1, {}, stream(0, "unused")))
    weights = [torch.from_numpy(array.copy()) for array in floats]
    constraint.after(weights, state, stacked=False)
    wanted = masks(floats, names, 0.7, scope)
    for weight, held, array, mask in zip(weights, constraint.held(state), floats, wanted, strict=True):
        np.testing.assert_array_equal(weight.numpy(), array if mask is None else array * mask)
        np.testing.assert_array_equal(held, mask)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0.0,), "got 0.0, expected above 0"),
        ((1.0,), "got 1.0"),
        ((0.5, "layer"), "got 'layer', expected global or local"),
    ],
)
def test_an_impossible_constraint_says_what_is_possible(options, message):
    with pytest.raises(PartError, match=message):
        Magnitude(*options)
