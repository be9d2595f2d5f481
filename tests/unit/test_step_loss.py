"""The loss of one client's step: whose loss it is, and a gradient for every weight."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn

from fedlite.compression.constraint.base import Constraint
from fedlite.compression.part import PartError
from fedlite.errors import FedliteError
from fedlite.learning.objectives import objective
from fedlite.learning.training.constrained import Constrained
from fedlite.learning.training.loss import Loss
from fedlite.learning.training.template import Template


class Spare(nn.Module):
    """A net with a weight that it does not use."""

    def __init__(self):
        super().__init__()
        self.used = nn.Parameter(torch.tensor([[2.0, 0.0]]))
        self.spare = nn.Parameter(torch.tensor([7.0, 7.0, 7.0]))

    def forward(self, x):
        return x @ self.used


@dataclass(frozen=True)
class Loses(Constraint):
    """Leaves out the last weight, which no constraint may."""

    name: ClassVar[str] = "loses"

    def seen(self, parameters, state, *, stacked):
        return parameters[:-1]


@dataclass(frozen=True)
class PerSample(Constraint):
    name: ClassVar[str] = "per-sample"
    per_sample: ClassVar[bool] = True


INPUTS = torch.tensor([[1.0], [3.0]])


def test_the_loss_is_the_objectives_own_and_unused_weights_have_no_slope():
    loss = Loss(Template(Spare()), objective("regression"), Constrained(), ())
    value, (used, spare) = loss.step(INPUTS, torch.zeros(2, 2))
    # Outputs are (2, 0) and (6, 0): losses 4/2 and 36/2, slopes 2 * 1 and 6 * 3, and of each the mean.
    assert value == 10.0
    assert used.tolist() == [[10.0, 0.0]]
    assert spare.tolist() == [0.0, 0.0, 0.0]


def test_the_loss_of_classes_is_cross_entropy():
    loss = Loss(Template(Spare()), objective("cross-entropy"), Constrained(), ())
    value, _ = loss.step(INPUTS, torch.tensor([1, 0]))
    assert value == pytest.approx((2.126928011 + 0.002475685) / 2, rel=1e-6)


def test_a_constraint_that_loses_a_weight_is_an_error():
    loss = Loss(Template(Spare()), objective("regression"), Constrained(((Loses(), None),)), ())
    with pytest.raises(PartError, match="got 1 entries, expected a tensor for each of 2 parameters"):
        loss.step(INPUTS, torch.zeros(2, 2))


@pytest.mark.parametrize("tensors", [3, 300])
def test_gradients_per_sample_need_a_state_of_trained_weights_only(tensors):
    bound = Constrained(((PerSample(), None),))
    names = [f"w{i}" for i in range(tensors)]
    whole = SimpleNamespace(model=None, names=names, trainable=list(range(tensors)))
    assert Loss(whole, objective("regression"), bound, ())
    buffers = SimpleNamespace(model=None, names=names, trainable=list(range(tensors - 1)))
    with pytest.raises(FedliteError, match="a net whose state has buffers"):
        Loss(buffers, objective("regression"), bound, ())
