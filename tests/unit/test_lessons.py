"""A small net that learns from a large one on the bench: who teaches whom, what it saves, what it would be alone."""

from __future__ import annotations

import pytest

from fedlite.compose.bench import Bench
from fedlite.compose.bench_task import Effort, bench_task
from fedlite.compose.toolbox import Asked, compare
from fedlite.compression.part import PartError
from fedlite.errors import FedliteError
from fedlite.learning.objectives.terms.distillation import Distillation
from fedlite.learning.objectives.terms.feature_distillation import FeatureDistillation
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.profiles import load_profile
from fedlite.techniques import technique
from fedlite.techniques.pipeline import joined
from fedlite.techniques.technique import Lesson, Recipe

SMALL = Effort(rows=400, epochs=2, rounds=1)
TASK = bench_task("digits", ("cnn", "mlp"), SMALL)
SOFT = Lesson((Distillation(1.0, 4.0),))


@pytest.fixture(scope="module")
def bench():
    return Bench("cnn", TASK, SMALL)


def loss(bench, recipe):
    return bench.run([recipe]).shipped.score.metrics["loss"]


def test_a_teacher_changes_the_student_and_not_what_it_costs(bench):
    alone, taught = (bench.run([Recipe(width=0.5, lesson=lesson)]) for lesson in (None, SOFT))
    assert taught.shipped.score.metrics["loss"] != alone.shipped.score.metrics["loss"]
    assert (taught.up_bytes, len(taught.shipped.file)) == (alone.up_bytes, len(alone.shipped.file))
    assert taught.up_bytes < 0.3 * bench.run([Recipe()]).up_bytes


def test_the_teacher_is_the_net_that_was_asked_or_another(bench):
    other = Lesson(SOFT.terms, "mlp")
    students = [loss(bench, Recipe(width=0.5, lesson=lesson)) for lesson in (SOFT, other, Lesson(SOFT.terms, "cnn"))]
    assert students[0] == students[2] != students[1]


def test_the_comparison_tells_what_the_student_would_be_alone(bench):
    asked = Asked("cnn", "digits", load_profile("pi-4b"), [("distillation", {"width": "0.5"})], SMALL)
    told = compare(asked)
    alone = bench.run([Recipe(width=0.5)]).shipped.score.metrics
    assert told["facts"]["accuracy_without_teacher"] == alone["accuracy"]
    assert told["facts"]["macro_f1_without_teacher"] == alone["macro_f1"]
    for less in ("params", "macs", "stored_bytes", "up_bytes", "down_bytes"):
        assert told["after"][less] < 0.4 * told["before"][less]
    for less in ("latency_ms", "training_step_ms", "peak_memory_bytes"):
        assert told["after"][less]["value"] < told["before"][less]["value"]


def test_self_distillation_saves_nothing_and_costs_a_forward_pass():
    asked = Asked("cnn", "digits", load_profile("pi-4b"), [("self-distillation", {})], SMALL)
    told = compare(asked)
    assert "accuracy_without_teacher" not in told["facts"]
    for same in ("params", "stored_bytes", "up_bytes", "latency_ms"):
        assert told["after"][same] == told["before"][same]
    assert told["after"]["training_step_ms"]["value"] == pytest.approx(
        4 / 3 * told["before"]["training_step_ms"]["value"]
    )


def test_a_layer_is_asked_for_and_one_that_is_not_there_is_named(bench):
    with pytest.raises(PartError, match=r"feature-distillation: got no 'layer', expected a value; add 'layer=\.\.\.'"):
        technique("feature-distillation").made({"width": 0.5})
    with pytest.raises(PartError, match="layer: got 'conv9', expected one of 0, 1, 2"):
        bench.run([Recipe(width=0.5, lesson=Lesson((FeatureDistillation("conv9"),)))])


def test_a_student_is_compressed_further_but_has_one_teacher():
    student, ints = technique("distillation").made({}), technique("static-int8").made({})
    both = joined(student, ints)
    assert (both.width, both.lesson) == (0.5, student.lesson)
    assert [part.name for part in both.plan.deliveries] == ["static-quantization"]
    assert joined(Recipe(width=0.5), Recipe(width=0.5)).width == 0.25
    with pytest.raises(PartError, match="got two teachers"):
        joined(student, technique("feature-distillation").made({"layer": "5"}))


SCENARIO = """
name: x
fleet: {{devices: 4, mix: iot-gateway}}
task: {{data: digits, model: cnn}}
clients: [{{for: any, plan: {{techniques: [{}]}}}}]
"""


def test_a_plan_of_a_scenario_cannot_choose_a_student():
    with pytest.raises(FedliteError, match="got the technique 'distillation', which begins with a net"):
        parse_scenario(SCENARIO.format("distillation"))
    plan = parse_scenario(SCENARIO.format("self-distillation")).plan_for(profile="pi-4b", tier="sbc")
    assert [part.name for part in plan.terms] == ["distillation"]
