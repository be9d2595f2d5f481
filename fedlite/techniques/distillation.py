"""Techniques in which a small net learns from a large one, or a device from the model that it was sent.

The students save what a smaller net saves, with or without a teacher; the facts of a comparison tell what the same
student came to by the labels alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fedlite.compression.plan import Plan
from fedlite.learning.objectives.terms.distillation import Distillation
from fedlite.learning.objectives.terms.feature_distillation import FeatureDistillation
from fedlite.learning.objectives.terms.generative_distillation import GenerativeDistillation
from fedlite.learning.objectives.terms.relational_distillation import RelationalDistillation
from fedlite.learning.objectives.terms.task_distillation import TaskDistillation
from fedlite.techniques.technique import (
    COMPUTE,
    DEVICE,
    DOWNLINK,
    MEMORY,
    SERVER,
    STORED,
    UPLINK,
    WIRE,
    Example,
    Lesson,
    Recipe,
    Technique,
)

if TYPE_CHECKING:
    from fedlite.learning.objectives.terms.base import Term


def distillation(
    student: str = "", width: float = 0.5, teacher: str = "", weight: float = 1.0, temperature: float = 4.0
) -> Recipe:
    """Train a smaller net on a server by the labels and the soft targets of a larger one, and ship it."""
    return _student(student, width, teacher, Distillation(weight, temperature))


def relational_distillation(
    student: str = "", width: float = 0.5, teacher: str = "", distance: float = 1.0, angle: float = 2.0, layer: str = ""
) -> Recipe:
    """Train a smaller net to see the distances and angles among samples that a larger one sees, and ship it."""
    return _student(student, width, teacher, RelationalDistillation(distance, angle, layer))


def feature_distillation(
    layer: str, student: str = "", width: float = 0.5, teacher: str = "", weight: float = 0.3
) -> Recipe:
    """Train a smaller net to respond at a layer as a larger one does, through a regressor that is left behind."""
    return _student(student, width, teacher, FeatureDistillation(layer, weight))


def task_distillation(
    layer: str = "body",
    student: str = "",
    width: float = 0.5,
    teacher: str = "",
    relation: float = 1.0,
    labels: float = 1.0,
    boxes: float = 20.0,
) -> Recipe:
    """Train a smaller detector by relations, and by an expert for classes and one for boxes; after TSKD."""
    return _student(student, width, teacher, TaskDistillation(layer, relation, labels, boxes))


def generative_distillation(
    layer: str = "body",
    student: str = "",
    width: float = 0.5,
    teacher: str = "",
    weight: float = 1.0,
    head: float = 1.0,
    hidden: float = 0.5,
) -> Recipe:
    """Train a smaller detector to regenerate a larger one's features and to be read by its head; after ADKD."""
    return _student(student, width, teacher, GenerativeDistillation(layer, weight, head, hidden))


def self_distillation(weight: float = 0.5, temperature: float = 2.0) -> Plan:
    """Let every device learn from its labels and from the model that it was sent; it saves nothing."""
    return Plan("self-distillation", terms=(Distillation(weight, temperature),))


def _student(student: str, width: float, teacher: str, term: Term) -> Recipe:
    return Recipe(model=student or None, width=width, lesson=Lesson((term,), teacher))


_SMALLER: Final = (STORED, WIRE, COMPUTE, MEMORY)
_EVERYWHERE: Final = (SERVER, DEVICE, UPLINK, DOWNLINK)
_SCENES: Final = Example(model="detector", dataset="digit-scenes", set={"width": 0.625})

TECHNIQUES: Final = (
    Technique(
        "distillation", "distillation", (23,), _SMALLER, _EVERYWHERE, ("hinton2015distilling",), distillation,
        Example(set={"width": 0.25}),
    ),
    Technique(
        "relational-distillation", "distillation", (23, 24), _SMALLER, _EVERYWHERE, ("park2019relational",),
        relational_distillation, Example(set={"width": 0.25}),
    ),
    Technique(
        "feature-distillation", "distillation", (23, 24), _SMALLER, _EVERYWHERE, ("romero2015fitnets",),
        feature_distillation, Example(set={"width": 0.25, "layer": "5"}),
    ),
    Technique(
        "task-distillation", "distillation", (24,), _SMALLER, _EVERYWHERE,
        ("park2019relational", "hinton2015distilling"), task_distillation, _SCENES,
    ),
    Technique(
        "generative-distillation", "distillation", (24,), _SMALLER, _EVERYWHERE, ("yang2022masked", "wang2024crosskd"),
        generative_distillation, _SCENES,
    ),
    Technique(
        "self-distillation", "distillation", (23,), (), (DEVICE,), ("hinton2015distilling", "yao2021local"),
        self_distillation, Example(),
    ),
)  # fmt: skip
