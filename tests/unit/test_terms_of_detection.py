"""What a detector's teacher teaches: by hand, through the teacher's own head, and without a trace in what is sent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedlite.compression.part import PartError
from fedlite.errors import FedliteError
from fedlite.learning.data.load import load
from fedlite.learning.models import build
from fedlite.learning.objectives.terms.answers import Teacher, Watch
from fedlite.learning.objectives.terms.base import Batch
from fedlite.learning.objectives.terms.generative_distillation import GenerativeDistillation
from fedlite.learning.objectives.terms.task_distillation import TaskDistillation
from fedlite.learning.training import ClientJob, LocalConfig, Trainer


def net(width=1.0, seed=1):
    return build("detector", input_shape=(1, 32, 32), num_classes=240, width=width, seed=seed)


DATA = load("digit-scenes")
X = torch.from_numpy(DATA.x_train[:6])


def batch(student, teacher):
    said = Watch(student, ("body",)).answer(lambda: student(X))
    asked = Teacher(lambda: teacher.eval().requires_grad_(requires_grad=False), ("body",), X)
    return Batch(X, X, said.outputs, [], [], lambda _, x: student(x), (), student, said.features, asked)


def train(terms, teacher, steps=3):
    student = net(0.5)
    arrays = [value.detach().numpy().copy() for value in student.state_dict().values()]
    config = LocalConfig(epochs=1, batch_size=8, lr=3e-3, optimizer="adam", max_steps=steps)
    trainer = Trainer(student, objective="detection", mode="sequential")
    job = ClientJob(np.arange(8 * steps), 1)
    result = trainer.train(arrays, [job], DATA.x_train, DATA.y_train, config, terms=terms, teacher=teacher)
    return [stacked[0] for stacked in result.arrays]


def told(present, places, classes):
    """One picture of one cell."""
    return torch.tensor([[present, *places, *classes]], dtype=torch.float64)


def logistic(z):
    return 1 / (1 + math.exp(-z))


def test_experts_by_hand():
    ours = told(0.0, (0, 0, 0, 0), (0.0, 0.0))
    theirs = told(2.0, (0.4, 0, 0, 0), (1.0, 0.0))
    part = TaskDistillation(relation=0.0, labels=3.0, boxes=7.0, classes=2)
    there, sure = logistic(2.0), logistic(1.0)
    labels = sure * math.log(2 * sure) + (1 - sure) * math.log(2 * (1 - sure))
    gap = (logistic(0.4) - 0.5) ** 2 / 0.2
    wanted = math.log(2) + there * (3 * labels + 7 * sure * gap)

    class Answered:
        outputs = ours

        class teacher:  # noqa: N801
            class answer:  # noqa: N801
                outputs = theirs

    assert float(part.losses(Answered)) == pytest.approx(wanted, rel=1e-9)
    # Each expert is silent where the other task's answer deserves nothing.
    unsure = replace_outputs(Answered, told(-40.0, (9, 9, 9, 9), (9.0, 0.0)))
    assert float(TaskDistillation(relation=0.0, classes=2).losses(unsure)) == pytest.approx(math.log(2), rel=1e-6)


def replace_outputs(answered, theirs):
    answered.teacher.answer.outputs = theirs
    return answered


def test_a_net_without_a_grid_is_refused():
    with pytest.raises(FedliteError, match="got 240 numbers for a picture, expected 12 for each cell of a square grid"):
        train([TaskDistillation(classes=7)], net())


def test_the_teachers_head_reads_the_students_features():
    teacher, part = net(seed=2), GenerativeDistillation("body", 0.0, 1.0)
    told = batch(net(0.5), teacher)
    told = replace(told, helper=part.helper(told))
    align, _ = told.helper.children()
    assert align.weight.shape == (128, 64, 1, 1)
    read = teacher.head(align(told.features["body"])).flatten(1)
    wanted = (read - teacher(X)).square().mean(dim=1) / teacher(X).square().mean()
    torch.testing.assert_close(part.losses(told), wanted)
    # Its gradient reaches the student's body, not its head, and not the teacher.
    student = net(0.5)
    told = replace(batch(student, teacher), helper=told.helper)
    part.losses(told).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in student.body.parameters())
    assert all(parameter.grad is None for parameter in (*student.head.parameters(), *teacher.parameters()))


def test_what_is_hidden_is_not_seen_by_the_generator():
    part = GenerativeDistillation("body", 1.0, 0.0, hidden=0.5)
    told = batch(net(0.5), net(seed=2))
    told = replace(told, helper=part.helper(told))
    seen = []
    _, generate = told.helper.children()
    generate.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    part.losses(told)
    places = (seen[0] == 0).all(dim=1)
    assert places.shape == (6, 4, 4)
    assert 0.3 < float(places.float().mean()) < 0.7
    assert torch.equal(places, (seen[0] == 0).any(dim=1))


@pytest.mark.parametrize("part", [TaskDistillation("body"), GenerativeDistillation("body")], ids=lambda part: part.name)
def test_a_wider_teacher_changes_the_student_the_same_way_each_time_and_leaves_nothing_in_it(part):
    taught, again, alone = train([part], net(seed=2)), train([part], net(seed=2)), train([], None)
    assert [array.shape for array in taught] == [array.shape for array in alone]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(taught, again, strict=True))
    assert any(a.tobytes() != b.tobytes() for a, b in zip(taught, alone, strict=True))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TaskDistillation(relation=-1.0), "relation: got -1.0"),
        (lambda: TaskDistillation(boxes=math.inf), "boxes: got inf"),
        (lambda: TaskDistillation(classes=0), "classes: got 0, expected 1 or more"),
        (lambda: GenerativeDistillation("body", head=-1.0), "head: got -1.0"),
        (lambda: GenerativeDistillation("body", hidden=1.0), "hidden: got 1.0, expected a share from 0 to below 1"),
        (lambda: GenerativeDistillation(""), "layer: got an empty name"),
    ],
)
def test_options_out_of_range(make, said):
    with pytest.raises(PartError, match=said):
        make()


def test_words():
    assert TaskDistillation("body").label == "tasks 1, 1, 20"
    assert GenerativeDistillation("body").label == "generated body 1, 1"
