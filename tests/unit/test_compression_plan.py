import json

import pytest

from fedlite.client.stages.clip import Clip
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.part import Effects, PartError
from fedlite.compression.plan import Plan
from fedlite.compression.structure.width import Width
from fedlite.learning.objectives.terms.distillation import Distillation

EVERYTHING = Plan(
    "all",
    Width(0.5),
    constraints=(Magnitude(0.9, "local"), FakeQuant(8)),
    terms=(Distillation(0.5),),
    stages=(Clip(1.0), ErrorFeedback()),
    up=("topk:0.1", "zstd"),
    down=("fp16",),
)


def test_the_default_plan_is_the_whole_model_in_float32():
    plan = Plan()
    assert plan.is_full
    assert (plan.label, plan.up, plan.down) == ("full", ("fp32",), ("fp32",))
    assert plan.effects == Effects()
    assert [part.name for part in plan.parts] == ["full"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plan(name=""), "empty name"),
        (lambda: Width(0.0), r"width: got 0.0, expected above 0 and at most 1"),
        (lambda: Width(1.5), "got 1.5"),
        (lambda: Magnitude(1.0), "sparsity: got 1.0, expected above 0 and below 1"),
        (lambda: Magnitude(-0.1), "got -0.1"),
        (lambda: FakeQuant(16), "bits: got 16, expected 8 or 4"),
        (lambda: Magnitude(0.5, "layer"), "scope: got 'layer', expected global or local"),
        (lambda: Plan(up=()), r"plan 'full': got up \(\), expected a tuple of stages"),
        (lambda: Plan(down="fp16"), "got down 'fp16'"),
        (lambda: Plan(constraints=(FakeQuant(8), FakeQuant(4))), "got the constraint 'fake-quant' 2 times"),
        (lambda: Plan(stages=(ErrorFeedback(), ErrorFeedback())), "got the stage 'error-feedback' 2 times"),
        (lambda: Plan(terms=(Distillation(), Distillation(2.0))), "got the term 'distillation' 2 times"),
    ],
)
def test_an_impossible_plan_says_what_is_possible(make, message):
    with pytest.raises(PartError, match=message):
        make()


def test_no_constraint_is_said_to_save_training_time():
    remarks = [part.remark for part in EVERYTHING.parts if part.remark]
    assert "makes nothing faster and needs memory of its own" in remarks[0]
    assert "slower, not faster" in remarks[1]
    assert "slower" in remarks[2]
    assert len(remarks) == 3
    assert Width(0.5).remark == ""  # what the slice saves is traced, not claimed


def test_the_effects_of_parts_multiply_and_add():
    mask, rounding, teacher = Magnitude(0.9).effects, FakeQuant(8).effects, Distillation().effects
    found = EVERYTHING.effects
    assert found.step_time == pytest.approx(mask.step_time * rounding.step_time * teacher.step_time, rel=1e-12)
    assert found.step_time > 2.0
    assert found.weight_copies == 1.0 + 2.0 + 1.0
    assert found.stored == ("rtn8:weights",)
    assert found.inference == "fp32"


def test_a_plan_is_called_after_what_changes_net_and_training():
    assert EVERYTHING.label == "width 0.5, 90% sparse, 8 bits, distillation 0.5, clip, error-feedback"
    assert not EVERYTHING.is_full
    assert Plan(stages=(Clip(1.0),), up=("int8",)).is_full


@pytest.mark.parametrize("plan", [Plan(), EVERYTHING], ids=["full", "everything"])
def test_a_plan_survives_its_record_through_json(plan):
    assert Plan.from_record(json.loads(json.dumps(plan.record))) == plan


def test_plans_are_values():
    assert Plan("a", Width(0.5)) == Plan("a", Width(0.5))
    assert len({Plan(), Plan()}) == 1
