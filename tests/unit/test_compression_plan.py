import pytest

from fedlite.compression.plan import CompressionPlan, PlanError


def test_the_default_plan_is_the_whole_model_in_float32():
    plan = CompressionPlan()
    assert plan.is_full
    assert plan.describe() == "The client trains the whole model. It receives fp32 and sends fp32."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "empty name"),
        ({"width": 0.0}, r"plan 'full': got width 0.0, expected above 0 and at most 1"),
        ({"width": 1.5}, "got width 1.5"),
        ({"sparsity": 1.0}, "got sparsity 1.0, expected from 0 to below 1"),
        ({"sparsity": -0.1}, "got sparsity -0.1"),
        ({"bits": 16}, "got bits 16, expected 8 or 4"),
        ({"scope": "layer"}, "got scope 'layer', expected global or local"),
        ({"uplink": ()}, r"got uplink \(\), expected a tuple of stages"),
        ({"downlink": "fp16"}, "got downlink 'fp16'"),
    ],
)
def test_an_impossible_plan_says_what_is_possible(changes, message):
    with pytest.raises(PlanError, match=message):
        CompressionPlan(**changes)


def test_only_width_is_said_to_save_training_time():
    words = CompressionPlan(name="x", sparsity=0.9, bits=8, uplink=("topk:0.1", "zstd"), error_feedback=True).describe()
    assert "neither training time nor memory" in words
    assert "slower" in words
    assert "sends topk:0.1 + zstd" in words
    assert "added to the next update" in words
    assert "training time" not in words.replace("neither training time nor memory", "")
    assert "training time" in CompressionPlan(name="half", width=0.5).describe()


def test_plans_are_values():
    assert CompressionPlan(name="a", width=0.5) == CompressionPlan(name="a", width=0.5)
    assert len({CompressionPlan(), CompressionPlan()}) == 1
