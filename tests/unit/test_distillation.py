"""What the term of distillation says of itself; what it does to training is in the battery of the terms."""

from __future__ import annotations

import math

import pytest

from fedlite.compression.part import Effects, PartError
from fedlite.learning.objectives.terms.base import Term
from fedlite.learning.objectives.terms.distillation import Distillation


def test_its_defaults_its_costs_and_its_words():
    part = Distillation()
    assert (part.weight, part.temperature) == (1.0, 2.0)
    assert part.effects == Effects(step_time=4 / 3, weight_copies=1.0)
    assert (part.label, Distillation(0.25).label) == ("distillation 1", "distillation 0.25")
    assert part.remark == "the teacher's forward pass makes training steps slower, and its weights take memory"


@pytest.mark.parametrize("key", ["weight", "temperature"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_only_finite_numbers_above_zero_are_taken(key, value):
    with pytest.raises(PartError, match=rf"{key}: got {value}, expected a finite number above 0"):
        Distillation(**{key: value})


def test_a_term_must_say_what_it_adds():
    assert Term.__abstractmethods__ == {"losses"}
