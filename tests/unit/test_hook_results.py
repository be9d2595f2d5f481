"""What hooks of constraints may return, and that looking at it costs one step and not every one."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import PartError
from fedlite.learning.training.constrained import Constrained
from fedlite.learning.training.hook_results import check_masks, check_tensors

SHAPES = [(2, 3), ()]


class Named(Constraint):
    name = "named"
    given: ClassVar = []  # each test sets its own

    def seen(self, parameters, state, *, stacked):
        return self.given

    def held(self, state):
        return self.given


@pytest.mark.parametrize("found", [[torch.ones(2, 3), torch.tensor(1)], (torch.ones(2, 3), torch.tensor(1))])
def test_tensors_of_the_shapes_pass(found):
    check_tensors(Named(), "seen", found, SHAPES)


@pytest.mark.parametrize(
    "found", [None, [None, None], [np.ones((2, 3)), None], (None, np.float32(1)), [np.ones((2, 3)), np.array(1)]]
)
def test_masks_of_the_shapes_pass_and_none_stands_for_all(found):
    check_masks(Named(), found, SHAPES)


def test_a_mask_of_torch_is_no_array():
    with pytest.raises(PartError, match="named': held: got Tensor for parameter 0, expected None or an array of shape"):
        check_masks(Named(), [torch.ones(2, 3), None], SHAPES)


def test_a_hook_is_looked_at_until_it_fits_and_then_left_alone():
    bound, parameters = Constrained(((Named(), None),)), [torch.ones(3)]
    for given in ([], [torch.ones(2)], []):
        Named.given = given
        with pytest.raises(PartError, match="seen: got"):
            bound.seen(parameters)
    Named.given = [torch.zeros(3)]
    assert bound.seen(parameters) is Named.given
    Named.given = []
    assert bound.seen(parameters) == []


def test_masks_are_put_where_the_parameters_stand_in_the_state():
    Named.given = [None, np.array([1, 0])]
    bound = Constrained(((Named(), None), (Named(), None)))
    held = bound.held([np.zeros(4), np.zeros(5), np.zeros(2)], [0, 2])
    assert held[:2] == [None, None]
    assert held[2].tolist() == [1, 0]
    Named.given = None
    assert bound.held([np.zeros(4)], [0]) is None
