"""The constraints of a chunk taken together: what all of them leave, and what each is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.constraint.base import Constraint
from fedlite.learning.training.constrained import Constrained, constrained
from fedlite.learning.training.template import Template
from fedlite.rng import stream


@dataclass(frozen=True)
class Told(Constraint):
    """Keeps in its state what it is told."""

    name: ClassVar[str] = "told"

    def init(self, received):
        return [received.rng.random()]

    def held(self, state):
        return state

    def seen(self, parameters, state, *, stacked):
        state.append(("seen", stacked))
        return parameters

    def gradients(self, gradients, state, *, stacked):
        state.append(("gradients", stacked))
        return gradients

    def after(self, parameters, state, *, stacked):
        state.append(("after", stacked))


@dataclass(frozen=True)
class PerSample(Constraint):
    name: ClassVar[str] = "per-sample"
    per_sample: ClassVar[bool] = True


class Combines(PerSample):
    """The mean over the samples."""

    def gradients(self, gradients, state, *, stacked):
        return [gradient.mean(dim=0) for gradient in gradients]


def test_what_comes_after_samples_were_combined_sees_one_gradient_per_parameter():
    bound = Constrained(((Combines(), None), (PerSample(), None), (Told(), [])))
    (found,) = bound.gradients([torch.tensor([[1.0, 2.0], [3.0, 6.0]])])
    assert found.tolist() == [2.0, 4.0]


def test_the_clients_hold_what_every_constraint_leaves_them():
    first = [np.array([1.0, 1.0, 0.0, 0.0]), None, None]
    other = [np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.0, 1.0]), None]
    bound = Constrained(((Told(), first), (Told(), other), (Constraint(), None)))
    # The tensors that are trained stand at 0, 2 and 3 of five.
    held = bound.held([np.ones(size) for size in (4, 1, 2, 1, 1)], [0, 2, 3])
    assert [None if mask is None else mask.tolist() for mask in held] == [[1, 0, 0, 0], None, [0, 1], None, None]


def test_the_clients_hold_all_where_no_constraint_takes_anything():
    arrays = [np.ones(3), np.ones(2)]
    assert Constrained().held(arrays, [0, 1]) is None
    assert Constrained(((Told(), [None, None]),)).held(arrays, [0, 1]) is None


@pytest.mark.parametrize("stacked", [None, False, True])
def test_constraints_are_told_whether_clients_are_stacked(stacked):
    state = []
    bound, told = Constrained(((Told(), state),)), {} if stacked is None else {"stacked": stacked}
    bound.seen([], **told)
    bound.gradients([], **told)
    bound.after([], **told)
    assert state == [("seen", bool(stacked)), ("gradients", bool(stacked)), ("after", bool(stacked))]


def test_what_constraints_ask_of_a_training_step():
    free, bound = Constrained(), Constrained(((Constraint(), None), (Told(), []), (PerSample(), None)))
    assert (free.changes_forward, free.per_sample) == (False, False)
    assert (bound.changes_forward, bound.per_sample) == (True, True)
    assert Constrained(((PerSample(), None),)).changes_forward is False


def test_a_chunk_without_jobs_draws_from_seed_0():
    net = nn.Linear(2, 1)
    arrays = [tensor.detach().numpy() for tensor in net.state_dict().values()]
    ((_, state),) = constrained((Told(),), Template(net), arrays, [], 0).pairs
    assert state == [stream(0, "local told").random()]


def test_training_begins_from_what_constraints_make_of_the_trained_tensors():
    @dataclass(frozen=True)
    class Doubles(Constraint):
        name: ClassVar[str] = "doubles"

        def after(self, parameters, state, *, stacked):
            for parameter in parameters:
                parameter.mul_(2)

    arrays = [np.array([1.0]), np.array([3.0]), np.array([5.0])]
    begun = Constrained(((Doubles(), None),)).start(arrays, [0, 2])
    assert [array.tolist() for array in begun] == [[2.0], [3.0], [10.0]]
    assert [array.tolist() for array in arrays] == [[1.0], [3.0], [5.0]]
