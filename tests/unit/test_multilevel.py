"""Masks of several levels: what a coarse level drops, no finer one has."""

import itertools

import numpy as np
import pytest

from fedlite.compression.constraint.base import Received
from fedlite.compression.constraint.magnitude import MaskError
from fedlite.compression.constraint.multilevel import LEVELS, Multilevel, level_masks
from fedlite.compression.part import PartError
from fedlite.rng import stream

SHAPES = {
    "in.weight": (8, 3, 3, 3),
    "in.bias": (8,),
    "mid.weight": (6, 8, 3, 3),
    "fc.weight": (10, 12),
    "fc.bias": (10,),
}
SHARES = {"channel": 0.25, "row": 0.5, "column": 0.3, "element": 0.4}


def arrays(seed=0):
    rng = stream(seed, "weights")
    return [rng.normal(size=shape).astype(np.float32) for shape in SHAPES.values()]


def by_hand(array, shares):
    """The levels one unit after the other, each with its plain definition."""
    matrix = array.reshape(array.shape[0], array.shape[1], -1)
    live = np.ones(matrix.shape, bool)
    outputs, inputs, places = (range(size) for size in matrix.shape)
    units = {
        "channel": [(slice(None), i, slice(None)) for i in inputs],
        "row": [(o, slice(None), slice(None)) for o in outputs],
        "column": [(slice(None), i, k) for i, k in itertools.product(inputs, places)],
        "element": list(itertools.product(outputs, inputs, places)),
    }
    found = {}
    for level in LEVELS:
        alive = [unit for unit in units[level] if np.any(live[unit])]
        means = [np.abs(matrix[unit])[live[unit]].astype(np.float64).mean() for unit in alive]
        for place in np.argsort(means, kind="stable")[: round(shares[level] * len(alive))]:
            live[alive[place]] = False
        found[level] = live.reshape(array.shape).astype(np.float32)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_masks_are_those_of_the_definition(seed):
    found = level_masks(arrays(seed), list(SHAPES), SHARES)
    assert [levels is None for levels in found] == [False, True, False, False, True]
    own = {0: {"channel": 0.0, "column": 0.0}, 3: {"row": 0.0}}
    for position, (array, levels) in enumerate(zip(arrays(seed), found, strict=True)):
        if levels is not None:
            wanted = by_hand(array, SHARES | own.get(position, {}))
            for level in LEVELS:
                np.testing.assert_array_equal(levels[level], wanted[level], err_msg=f"{position} {level}")


@pytest.mark.parametrize("shares", list(itertools.product((0.0, 0.3, 0.6), repeat=4))[1:])
def test_a_coarse_zero_is_a_fine_zero_and_the_product_is_the_last_level(shares):
    for levels in level_masks(arrays(), list(SHAPES), dict(zip(LEVELS, shares, strict=True))):
        if levels is None:
            continue
        product = np.ones_like(levels["channel"])
        for coarse, fine in itertools.pairwise(LEVELS):
            assert not levels[fine][levels[coarse] == 0].any()
        for level in LEVELS:
            product *= levels[level]
        np.testing.assert_array_equal(product, levels["element"])


def test_units_are_whole_and_as_many_as_asked():
    (_, _, mid, _, _) = level_masks(arrays(), list(SHAPES), SHARES)
    channels = mid["channel"].sum(axis=(0, 2, 3))
    assert sorted(set(channels.tolist())) == [0, 6 * 9]
    assert (channels == 0).sum() == 2
    rows = mid["row"].sum(axis=(1, 2, 3))
    assert sorted(set(rows.tolist())) == [0, 6 * 9]
    assert (rows == 0).sum() == 3
    columns = mid["column"].sum(axis=0)
    assert sorted(set(columns.ravel().tolist())) == [0, 3]
    assert (columns == 0).sum() == 2 * 9 + round(0.3 * 6 * 9)
    assert mid["element"].sum() == 114 - round(0.4 * 114)
    assert mid["column"].sum() == 114


def test_inputs_of_the_model_and_its_outputs_stay():
    first, _, _, last, _ = level_masks(arrays(), list(SHAPES), SHARES)
    assert first["channel"].all()
    assert last["row"].sum(axis=1).all()
    assert (first["row"].sum(axis=(1, 2, 3)) == 0).sum() == 4


def test_a_level_that_leaves_nothing_names_the_layer():
    with pytest.raises(MaskError, match=r"row: got a share of 0.9 of the 2 left in a.weight, which leaves none"):
        level_masks(
            [np.ones((2, 3), np.float32)] * 2, ["a.weight", "b.weight"], dict.fromkeys(LEVELS, 0.0) | {"row": 0.9}
        )
    with pytest.raises(MaskError, match=r"b.weight holds values that are not finite"):
        level_masks([np.ones((2, 3)), np.full((2, 3), np.nan)], ["a", "b.weight"], dict.fromkeys(LEVELS, 0.1))


def test_options_are_checked():
    with pytest.raises(PartError, match=r"row: got 1.0, expected from 0 to below 1"):
        Multilevel(row=1.0)
    with pytest.raises(PartError, match=r"got 0 at every level"):
        Multilevel(0, 0, 0, 0)
    part = Multilevel(0.25, 0, 0, 0.5)
    assert part.label == "channel 0.25, element 0.5 dropped"
    assert part.effects.step_time > 1
    held = part.held(part.init(Received(arrays(), list(SHAPES), 1, {}, stream(0, "x"))))
    assert held[1] is None
    assert held[2].shape == (6, 8, 3, 3)
