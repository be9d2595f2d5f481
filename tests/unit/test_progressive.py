"""Sparsity by Zhu and Gupta's schedule."""

import numpy as np
import pytest

from fedlite.compression.constraint.base import Received
from fedlite.compression.constraint.magnitude import masks
from fedlite.compression.constraint.progressive import Progressive
from fedlite.compression.part import PartError
from fedlite.rng import stream


def received(round_):
    rng = stream(0, "weights")
    return Received(
        [rng.normal(size=(20, 10)).astype(np.float32), np.ones(20, np.float32)], ["w", "b"], round_, {}, rng
    )


def test_the_schedule_is_the_cubic_one():
    part = Progressive(0.8, rounds=4, first=3, initial=0.2)
    wanted = [0, 0, 0, 0.2, 0.8 - 0.6 * 27 / 64, 0.8 - 0.6 * 8 / 64, 0.8 - 0.6 / 64, 0.8, 0.8, 0.8]
    assert [part.share(round_) for round_ in range(10)] == pytest.approx(wanted)


def test_it_moves_every_so_many_rounds_and_ends_exactly():
    part = Progressive(0.9, rounds=5, every=2)
    shares = [part.share(round_) for round_ in range(1, 9)]
    assert shares[0] == shares[1] == 0.0
    assert shares[2] == shares[3] == pytest.approx(0.9 * (1 - 0.6**3))
    assert shares[4] == pytest.approx(0.9 * (1 - 0.2**3))
    assert shares[5:] == [0.9] * 3


@pytest.mark.parametrize("round_", [1, 2, 3, 5, 9])
def test_masks_are_magnitude_masks_of_the_rounds_share(round_):
    part, arrived = Progressive(0.8, rounds=4), received(round_)
    wanted = masks(arrived.parameters, arrived.names, part.share(round_))
    (held, bias) = part.held(part.init(arrived))
    assert bias is None
    if round_ == 1:
        assert held is None
    else:
        np.testing.assert_array_equal(held, wanted[0])
        assert (held == 0).sum() == round(part.share(round_) * 200)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0, "rounds": 3}, "sparsity: got 1.0"),
        ({"sparsity": 0.5, "rounds": 0}, "rounds: got 0, expected 1 or more"),
        ({"sparsity": 0.5, "rounds": 3, "initial": 0.5}, "initial: got 0.5, expected from 0 to below sparsity 0.5"),
        ({"sparsity": 0.5, "rounds": 3, "every": 4}, "every: got 4, expected at most rounds, 3"),
        ({"sparsity": 0.5, "rounds": 3, "scope": "layer"}, "scope: got 'layer', expected global or local"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(PartError) as caught:
        Progressive(**options)
    assert message in str(caught.value)
