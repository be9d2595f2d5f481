"""The objective of several exits: cross entropies and divergences against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedlite.errors import FedliteError
from fedlite.learning import objectives
from fedlite.learning.objectives import MisfitError
from fedlite.scenario.loader import parse_scenario

GOAL = objectives.objective("exits")


def problem(exits, seed=0):
    draw = torch.Generator().manual_seed(seed)
    outputs = 2 * torch.randn(4, exits, 3, generator=draw, dtype=torch.float64)
    return outputs.requires_grad_(), torch.tensor([0, 2, 1, 1])


def slowly(outputs, targets):
    """Equation 2 of the paper, pair by pair."""
    samples, exits, _ = outputs.shape
    losses = []
    for n in range(samples):
        total = torch.zeros((), dtype=outputs.dtype)
        for i in range(exits):
            total = total + F.cross_entropy(outputs[n, i], targets[n])
            for j in range(exits):
                if i != j:
                    teacher = outputs[n, j].softmax(0).detach()
                    student = outputs[n, i].log_softmax(0)
                    total = total + (teacher * (teacher.log() - student)).sum() / (exits - 1)
        losses.append(total)
    return torch.stack(losses)


@pytest.mark.parametrize("exits", [1, 2, 3, 5])
def test_losses_and_slopes_are_those_of_the_sum_over_pairs(exits):
    outputs, targets = problem(exits)
    got, want = GOAL.losses(outputs, targets), slowly(outputs, targets)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(losses.sum(), outputs)[0] for losses in (got, want)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)


def test_exits_that_agree_do_not_diverge():
    outputs, targets = problem(1)
    same = outputs.detach().expand(-1, 4, -1)
    torch.testing.assert_close(GOAL.losses(same, targets), 4 * F.cross_entropy(same[:, 0], targets, reduction="none"))


def test_all_exits_together_may_be_right_where_the_first_and_the_last_are_wrong():
    outputs = torch.tensor([[[2.0, 0, 1.9], [0.0, 1.8, 2.0], [0.0, 2.0, 1.9]]])
    scores = GOAL.score(outputs, torch.tensor([2])).numpy()
    assert scores.tolist() == [[2, 0, 1]]
    assert GOAL.summary(scores, np.array([2]), np.zeros(1)) == {
        "accuracy": 1.0, "macro_f1": 1.0, "first_accuracy": 0.0, "last_accuracy": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 2, 3)])
def test_outputs_of_one_exit_are_refused(shape):
    with pytest.raises(MisfitError, match=r"expected \(exits, 3\).*name a model such as 'resnet8-exits'"):
        GOAL.check(shape, (), "int64", 3)


TEXT = """
name: tiny
fleet: {{devices: 6, mix: {{pixel-4: 100 %}}}}
task:
  data: digits
  model: {model}
  objective: {objective}
training: {{rounds: 1}}
"""
ALL = "{name: cnn-exits, options: {outputs: all}}"


def test_exits_and_their_objective_belong_together():
    parse_scenario(TEXT.format(model=ALL, objective="exits"))
    parse_scenario(TEXT.format(model="cnn-exits", objective="auto"))


@pytest.mark.parametrize(
    ("model", "objective", "text"),
    [
        ("mlp", "exits", "task.objective: got 'exits' with model 'mlp', which does not give the scores of its exits"),
        ("cnn-exits", "exits", "got 'exits' with model 'cnn-exits'.*options: {outputs: all}"),
        (ALL, "auto", "task.model: got 'cnn-exits' with 'outputs: all', expected one score.*write 'objective: exits'"),
    ],
)
def test_what_does_not_belong_together_is_refused_with_its_line(model, objective, text):
    with pytest.raises(FedliteError, match=text):
        parse_scenario(TEXT.format(model=model, objective=objective))
