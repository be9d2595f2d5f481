"""Terms that look at layers: what they see, how often a net is asked, and relations against a slow reference."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from fedlite.compression.part import PartError
from fedlite.learning.objectives.terms.base import Term
from fedlite.learning.objectives.terms.distillation import Distillation
from fedlite.learning.objectives.terms.feature_distillation import FeatureDistillation
from fedlite.learning.objectives.terms.relational_distillation import RelationalDistillation, difference
from fedlite.learning.training import ClientJob, LocalConfig, Trainer

PASSES: list[bool] = []
"""Whether each forward pass of `Counted` could be differentiated."""


class Counted(nn.Module):
    """A net with statistics of batches that notes each time it is asked."""

    def __init__(self, hidden=5):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(hidden)
            self.body = nn.Linear(4, hidden)
            self.norm = nn.BatchNorm1d(hidden)
            self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        PASSES.append(torch.is_grad_enabled())
        return self.head(self.norm(self.body(x)).relu())


@dataclass(frozen=True)
class Looks(Term):
    """Keeps what it sees; adds nothing."""

    name: ClassVar[str] = "looks"
    asks: bool = True
    seen: list = field(default_factory=list, compare=False)

    @property
    def layers(self):
        return ("body",) if self.asks else ()

    def losses(self, batch):
        if self.asks:
            answer = batch.teacher.answer
            self.seen.append((batch.features["body"].detach(), answer.features["body"], answer.outputs, batch.inputs))
        return batch.outputs.sum() * 0


DICE = np.random.default_rng(3)
X, Y = DICE.normal(size=(12, 4)).astype(np.float32), DICE.integers(0, 3, 12)


def train(terms, net=None, teacher=None, **config):
    PASSES.clear()
    net = net or Counted()
    arrays = [value.detach().numpy().copy() for value in net.state_dict().values()]
    local = LocalConfig(**{"epochs": 2, "batch_size": 6, "lr": 0.1, **config})
    trainer = Trainer(net, mode="sequential")
    return trainer.train(arrays, [ClientJob(np.arange(12), 1)], X, Y, local, terms=terms, teacher=teacher)


def bits(result):
    return b"".join(array.tobytes() for array in result.arrays)


def test_the_net_is_asked_once_a_step_and_the_teacher_once_more_only_if_somebody_asks():
    train([])
    assert PASSES == [True] * 4
    train([Looks(asks=False)])
    assert PASSES == [True] * 4
    train([Looks(), Distillation(), FeatureDistillation("head")])
    assert PASSES == [True, False] * 4


def test_a_term_sees_the_layer_of_the_net_as_it_is_and_of_the_model_that_came():
    looks, start = Looks(), Counted().eval()
    train([looks])
    (ours, theirs, outputs, inputs), *_, last = looks.seen
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(outputs, start(inputs))
    assert (last[0] - last[1]).abs().max() > 0.01
    torch.testing.assert_close(last[1], start.body(last[3]))


def test_looking_changes_no_bit_of_the_training_nor_of_its_statistics():
    assert bits(train([Looks()])) == bits(train([]))


def test_a_layer_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(PartError, match="got 'boby', expected one of body, norm, head; write 'body'"):
        train([FeatureDistillation("boby")])
    with pytest.raises(PartError, match="got 'tail', expected one of body, norm, head"):
        train([RelationalDistillation(layer="body", teacher_layer="tail")])


def test_a_layer_of_several_tensors_is_refused():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.head = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 3)

        def forward(self, x):
            return self.head(self.cells(x[:, None])[0][:, 0])

    with pytest.raises(PartError, match="got 'cells', whose output is a tuple"):
        train([FeatureDistillation("cells")], net=Recurrent())


def test_a_larger_teacher_is_learned_from_and_keeps_its_values():
    teacher = Counted(hidden=9)
    before = [value.clone() for value in teacher.state_dict().values()]
    looks = Looks()
    taught = train([Distillation(5.0)], teacher=teacher)
    assert bits(taught) != bits(train([Distillation(5.0)]))
    train([looks], teacher=teacher)
    assert looks.seen[0][1].shape == (6, 9)
    assert teacher.training
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.state_dict().values(), strict=True))


def test_features_of_another_width_pass_a_regressor_that_is_trained_and_left_behind():
    taught = train([FeatureDistillation("body", 3.0)], teacher=Counted(hidden=9))
    assert len(taught.arrays) == len(Counted().state_dict())
    assert bits(taught) == bits(train([FeatureDistillation("body", 3.0)], teacher=Counted(hidden=9)))
    assert bits(taught) != bits(train([]))


def test_features_that_differ_in_more_than_channels_are_refused():
    class Pictures(nn.Module):
        def __init__(self, side):
            super().__init__()
            self.body, self.head = nn.Unflatten(1, (1, 4 // side, side)), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.body(x).flatten(1))

    with pytest.raises(PartError, match=r"got 'body', which gives \(1, 2, 2\) where the teacher gives \(1, 1, 4\)"):
        train([FeatureDistillation("body")], net=Pictures(2), teacher=Pictures(4))


def slow(points):
    """Park et al., equations 5 to 10, with loops."""
    count = len(points)
    far = np.array([[np.linalg.norm(a - b) for b in points] for a in points])
    mean = far.sum() / (count * (count - 1))
    angle = np.zeros((count, count, count))
    for i in range(count):
        for j in range(count):
            for k in range(count):
                if j not in (i, k):
                    one, two = points[i] - points[j], points[k] - points[j]
                    angle[j, i, k] = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    return far / mean, angle


def huber(x, y):
    gap = np.abs(x - y)
    return np.where(gap <= 1, gap**2 / 2, gap - 0.5).mean()


def test_relations_are_those_of_a_slow_reference_and_know_no_length():
    dice = np.random.default_rng(8)
    ours, theirs = dice.normal(size=(6, 4)), dice.normal(size=(6, 9)) ** 3
    (far, angle), (wanted_far, wanted_angle) = slow(ours), slow(theirs)
    wanted = 3.0 * huber(far, wanted_far) + 0.5 * huber(angle, wanted_angle)
    found = difference(torch.tensor(ours), torch.tensor(theirs), 3.0, 0.5)
    assert float(found) == pytest.approx(wanted, rel=1e-9)
    assert float(difference(torch.tensor(ours), torch.tensor(7.0 * ours + 2.0), 1.0, 1.0)) < 1e-12


def test_relations_know_no_offset():
    drawn = torch.Generator().manual_seed(1)
    ours, theirs = (0.1 * torch.randn(32, 64, generator=drawn) for _ in range(2))
    wanted = difference(ours.double(), theirs.double(), 1.0, 2.0)
    for offset in (1.0, 100.0):
        found = difference(ours + offset, theirs + offset, 1.0, 2.0)
        assert float(found) == pytest.approx(float(wanted), rel=1e-3)


def test_samples_in_one_place_and_single_samples_have_no_relations():
    same = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    value = difference(same, torch.zeros(3, 2, dtype=torch.float64), 1.0, 1.0)
    value.backward()
    assert float(value.detach()) == 0.0
    assert torch.equal(same.grad, torch.zeros(3, 4, dtype=torch.float64))
    assert float(difference(torch.ones(1, 4), torch.ones(1, 4), 1.0, 1.0)) == 0.0


def test_a_response_is_a_share_of_the_teachers_mean_square():
    part = FeatureDistillation("body", 2.0)
    looks = Looks()
    train([looks])
    assert part.weight == 2.0
    ours, theirs, *_ = looks.seen[-1]
    wanted = 2.0 * ((ours - theirs) ** 2).mean(dim=1) / (theirs**2).mean()

    class Told:
        features: ClassVar = {"body": ours}
        helper = None

        class teacher:  # noqa: N801
            class answer:  # noqa: N801
                features: ClassVar = {"body": theirs}

    torch.testing.assert_close(part.losses(Told), wanted)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RelationalDistillation(distance=-1.0), "distance: got -1.0, expected a finite number, 0 or more"),
        (lambda: RelationalDistillation(angle=math.nan), "angle: got nan"),
        (lambda: RelationalDistillation(0.0, 0.0), "distance: got 0, and angle 0"),
        (lambda: FeatureDistillation("body", 0.0), "weight: got 0.0"),
        (lambda: FeatureDistillation(""), "layer: got an empty name"),
    ],
)
def test_options_out_of_range(make, said):
    with pytest.raises(PartError, match=said):
        make()


def test_words():
    assert RelationalDistillation(layer="body").label == "relations 1, 2 of body"
    assert FeatureDistillation("body").label == "features of body 1"
