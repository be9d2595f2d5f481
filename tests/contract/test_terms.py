"""One battery that every term passes: those that ship, those of the documentation, and any of a user's own."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from confidence import ConfidencePenalty
from own import examples
from strangers import Anchor
from torch import nn

from fedlite.compression.part import from_record, made
from fedlite.errors import FedliteError
from fedlite.learning.objectives.terms import TERMS
from fedlite.learning.objectives.terms.answers import Teacher, Watch
from fedlite.learning.objectives.terms.base import Batch, Term
from fedlite.learning.objectives.terms.distillation import Distillation
from fedlite.learning.objectives.terms.feature_distillation import FeatureDistillation
from fedlite.learning.objectives.terms.generative_distillation import GenerativeDistillation
from fedlite.learning.objectives.terms.group_lasso import GroupLasso
from fedlite.learning.objectives.terms.relational_distillation import RelationalDistillation
from fedlite.learning.objectives.terms.task_distillation import TaskDistillation
from fedlite.learning.training import ClientJob, LocalConfig, Trainer

EXAMPLES = {
    "distillation": [Distillation(), Distillation(0.5, 4.0)],
    "group-lasso": [GroupLasso(), GroupLasso(0.05)],
    "feature-distillation": [FeatureDistillation("0"), FeatureDistillation("1", 0.3, "1")],
    "generative-distillation": [GenerativeDistillation("1"), GenerativeDistillation("0", 0.0, 2.0, 0.0, "0")],
    "task-distillation": [TaskDistillation(), TaskDistillation("1", 0.0, 2.0, 0.5)],
    "relational-distillation": [RelationalDistillation(), RelationalDistillation(4.0, 0.0, "1", "1")],
    "strangers:Anchor": [Anchor(0.5)],
    "confidence:ConfidencePenalty": [ConfidencePenalty(0.3)],
    **examples(Term),
}
"""Name in a scenario -> some settings of it."""
ALL = [part for parts in EXAMPLES.values() for part in parts]
_OTHERS = ("generative-distillation", "confidence:ConfidencePenalty", "group-lasso", *examples(Term))
HOLD_BACK = [part for name, parts in EXAMPLES.items() if name not in _OTHERS for part in parts]
"""Those that compare with the received model, and are at their least there."""
SAMPLES = 7

each_part = pytest.mark.parametrize("part", ALL, ids=lambda part: part.label)
each_holding_back = pytest.mark.parametrize("part", HOLD_BACK, ids=lambda part: part.label)


def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 15))


def batch(moved, part=None, layers=("0", "1")):
    """A batch in the middle of training: the weights are `moved` away from those that came down."""
    model, dice = net(), torch.Generator().manual_seed(3)
    names = [name for name, _ in model.named_parameters()]
    came = [parameter.detach().clone() for parameter in model.parameters()]
    now = [(p + moved * torch.randn(p.shape, generator=dice)).requires_grad_() for p in came]
    inputs = torch.randn(SAMPLES, 6, generator=dice)

    def forward(parameters, x):
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x,))

    said = Watch(model, layers).answer(lambda: forward(now, inputs))
    teacher = Teacher(lambda: net().eval().requires_grad_(requires_grad=False), layers, inputs)
    targets, kept = torch.arange(SAMPLES) % 3, tuple(names)
    told = Batch(inputs, targets, said.outputs, now, came, forward, kept, model, said.features, teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        return replace(told, helper=part.helper(told) if part else None)


def gradient(part, moved):
    told = batch(moved, part)
    return torch.autograd.grad(part.losses(told).mean(), told.parameters, materialize_grads=True)


def train(terms, **config):
    model, draw = net(), np.random.default_rng(4)
    arrays = [tensor.detach().numpy().copy() for tensor in model.state_dict().values()]
    x, y = draw.normal(size=(30, 6)).astype(np.float32), draw.integers(0, 3, 30)
    jobs = [ClientJob(np.arange(16), seed=1), ClientJob(np.arange(10, 30), seed=2)]
    local = LocalConfig(**{"epochs": 2, "batch_size": 8, "lr": 0.1, **config})
    return Trainer(model, mode="sequential").train(arrays, jobs, x, y, local, terms=terms)


def test_every_term_has_an_example_that_a_scenario_can_name():
    assert {name for name in EXAMPLES if ":" not in name} == set(TERMS)
    for name, parts in EXAMPLES.items():
        for part in parts:
            options = {key: value for key, value in part.record.items() if key != "part"}
            assert made(name, options, TERMS, Term) == part


@each_part
def test_a_loss_per_sample_or_one_for_all_finite_and_differentiable(part):
    losses = part.losses(batch(0.3, part))
    assert tuple(losses.shape) in {(SAMPLES,), ()}
    assert torch.isfinite(losses).all()
    found = gradient(part, 0.3)
    assert all(torch.isfinite(each).all() for each in found)
    assert any(each.abs().max() > 0 for each in found)


@each_part
def test_the_received_model_is_a_constant(part):
    told = batch(0.3, part)
    came = [tensor.clone() for tensor in told.received]
    part.losses(told).mean().backward()
    assert all(torch.equal(a, b) and a.grad is None for a, b in zip(told.received, came, strict=True))


@each_holding_back
def test_where_its_gradient_is_zero_a_term_moves_nothing(part):
    """The first step is that of plain training."""
    assert all(each.abs().max() < 1e-7 for each in gradient(part, 0.0))
    step = {"epochs": 1, "batch_size": 100}
    for with_it, without in zip(train([part], **step).arrays, train([], **step).arrays, strict=True):
        np.testing.assert_allclose(with_it, without, atol=1e-7)


@each_part
def test_it_changes_training_the_same_way_each_time(part):
    first, again, plain = train([part]), train([part]), train([])
    for a, b in zip(first.arrays, again.arrays, strict=True):
        assert a.tobytes() == b.tobytes()
    assert max(np.abs(a - b).max() for a, b in zip(first.arrays, plain.arrays, strict=True)) > 1e-5


@each_holding_back
def test_its_pull_is_towards_what_was_received(part):
    """The client ends nearer to where it began."""
    start = [parameter.detach().numpy() for parameter in net().parameters()]
    near, far = (
        sum(float(((array - was) ** 2).sum()) for array, was in zip(train(terms).arrays, start, strict=True))
        for terms in ([part], [])
    )
    assert near < far


@each_part
def test_effects_claim_no_speed(part):
    assert part.effects.step_time >= 1.0
    assert part.effects.weight_copies >= 0.0


@each_part
def test_a_record_makes_the_part_again(part):
    assert from_record(json.loads(json.dumps(part.record)), Term) == part


def test_clients_with_terms_are_not_trained_side_by_side():
    x, y = np.zeros((4, 6), np.float32), np.zeros(4, np.int64)
    arrays = [parameter.detach().numpy() for parameter in net().parameters()]
    with pytest.raises(FedliteError, match="got batched for a plan with distillation"):
        Trainer(net(), mode="batched").train(
            arrays, [ClientJob(np.arange(4), 1)], x, y, LocalConfig(), terms=[Distillation()]
        )


def test_distillation_is_the_divergence_of_softened_outputs_times_the_square_of_the_temperature():
    told = batch(0.3)
    teacher, student = (
        torch.softmax(outputs.detach().double() / 4.0, dim=1).numpy()
        for outputs in (told.forward(told.received, told.inputs), told.outputs)
    )
    wanted = 0.5 * 16.0 * (teacher * np.log(teacher / student)).sum(axis=1)
    np.testing.assert_allclose(Distillation(0.5, 4.0).losses(told).detach().numpy(), wanted, rtol=1e-4)
