"""Parts by name, by reference and by record; what they say of themselves, to the word; what they cost, to the digit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from fedlite.client.stages import STAGES
from fedlite.client.stages.base import Stage, norm_of
from fedlite.client.stages.clip import Clip
from fedlite.client.stages.error_feedback import ErrorFeedback
from fedlite.client.stages.noise import Noise
from fedlite.compression.constraint import CONSTRAINTS
from fedlite.compression.constraint.base import Constraint
from fedlite.compression.constraint.fake_quant import FakeQuant
from fedlite.compression.constraint.magnitude import Magnitude, MaskError, masks
from fedlite.compression.overlap import OverlapError, OverlapSum, weighted_sums
from fedlite.compression.part import Effects, Part, PartError, found, from_record, made
from fedlite.compression.plan import Plan
from fedlite.compression.structure import STRUCTURES
from fedlite.compression.structure.base import Structure
from fedlite.compression.structure.full import FULL, Full
from fedlite.compression.structure.width import Width, WidthError, index_maps, take
from fedlite.learning.models.spec import spec_of
from fedlite.rng import stream


@dataclass(frozen=True)
class Listed(Stage):
    """A stage with every kind of field."""

    name: ClassVar[str] = "listed"

    rate: float
    codes: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    on: bool = False


HERE = f"{__name__}:Listed"


@pytest.mark.parametrize(
    "reference", ["no.such.module:Thing", "fedlite.errors:Missing", "fedlite.errors:FedliteError.x"]
)
def test_what_cannot_be_imported_is_said(reference):
    with pytest.raises(
        PartError,
        match=r"which cannot be imported \(.*\), expected pkg.mod:Class; mend it, put it beside the scenario",
    ):
        found(reference, Part)


@pytest.mark.parametrize(
    "reference",
    ["fedlite.errors:FedliteError", "fedlite.compression.part:made", "fedlite.compression.structure.full:FULL"],
)
def test_what_is_no_part_of_the_kind_is_said(reference):
    with pytest.raises(PartError, match=r"expected a frozen dataclass derived from .*Structure; derive it"):
        found(reference, Structure)
    with pytest.raises(PartError, match=r"derived from fedlite.client.stages.base.Stage"):
        found(CONSTRAINTS["magnitude"], Stage)


def test_options_are_fields_and_those_with_a_default_may_be_left_out():
    assert made("magnitude", {"sparsity": 0.5}, CONSTRAINTS, Constraint) == Magnitude(0.5, "global")
    assert made("magnitude", {"sparsity": 0.5, "scope": "local"}, CONSTRAINTS, Constraint) == Magnitude(0.5, "local")
    assert made("full", {}, STRUCTURES, Structure) == FULL
    assert made("clip", {"norm": 1}, STAGES, Stage) == Clip(1)
    assert made(HERE, {"rate": 2}, STAGES, Stage) == Listed(2)
    assert made(HERE, {"rate": 0.5, "codes": [1, 2], "on": True}, STAGES, Stage) == Listed(0.5, (1, 2), (), True)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "shrink",
            {},
            f"got 'shrink', expected one of {', '.join(sorted(CONSTRAINTS))} or pkg.mod:Class; write one of them",
        ),
        ("magnitud", {}, "or pkg.mod:Class; write 'magnitude'"),
        ("fake_quant", {}, "write 'fake-quant'"),
        ("magnitude", {}, "magnitude: got no 'sparsity', expected a value; add 'sparsity: ...'"),
        ("magnitude", {"sparsity": 0.5, "depth": 1}, "got the option 'depth', expected sparsity, scope; remove it"),
        (
            "magnitude",
            {"sparcity": 0.5},
            "magnitude.sparcity: got the option 'sparcity', expected sparsity, scope; write",
        ),
        ("magnitude", {"zzz": 1, "scop": 2}, "got the option 'scop', expected sparsity, scope; write 'scope'"),
        ("fake-quant", {"bit": 8}, "got the option 'bit', expected bits; write 'bits'"),
        ("magnitude", {"sparsity": "half"}, "magnitude.sparsity: got 'half', expected float; mend the value"),
        ("fake-quant", {"bits": 7.5}, "fake-quant.bits: got 7.5, expected int; mend the value"),
    ],
)
def test_mistakes_in_options_are_named(name, options, message):
    with pytest.raises(PartError) as caught:
        made(name, options, CONSTRAINTS, Constraint)
    assert message in str(caught.value)
    with pytest.raises(PartError, match=r"full\.x: got the option 'x', expected none; remove it"):
        made("full", {"x": 1}, STRUCTURES, Structure)


@dataclass(frozen=True)
class Leaves(Stage):
    name: ClassVar[str] = "leaves"

    def __post_init__(self):
        raise SystemExit(3)


def test_a_part_that_ends_the_program_is_told():
    with pytest.raises(PartError, match=r"got \{\}, which it cannot take \(SystemExit: 3"):
        made(f"{__name__}:Leaves", {}, STAGES, Stage)


@pytest.mark.parametrize(
    "part", [Width(0.5), FULL, Magnitude(0.5, "local"), FakeQuant(4), Clip(2.0), Noise(0.1), ErrorFeedback()]
)
def test_a_record_leads_back_to_its_part(part):
    assert from_record(part.record, Part) == part
    assert part.record["part"] == f"{type(part).__module__}:{type(part).__qualname__}"


def test_a_record_s_lists_are_tuples_again():
    assert from_record({"part": HERE, "rate": 1.0, "codes": [3, [4]]}, Stage) == Listed(1.0, (3, (4,)))


def test_effects_multiply_add_and_join():
    assert Effects() == Effects(1.0, 0.0, 0.0, 0.0, (), "fp32")
    assert Effects.of([]) == Effects()

    def with_effects(*given):
        return type("Some", (), {"effects": Effects(*given)})()

    parts = [
        with_effects(2.0, 1.0, 0.5, 3.0, ("nonzero",), "fp32"),
        with_effects(1.5, 2.0, 1.0, 4.0, ("int8", "nonzero"), "int8"),
        with_effects(1.0, 0.5, 0.0, 0.0, (), "fp32"),
    ]
    assert Effects.of(parts) == Effects(3.0, 3.5, 1.5, 7.0, ("nonzero", "int8"), "int8")


@pytest.mark.parametrize("name", ["step_time", "weight_copies", "weight_copies_per_sample", "update_passes"])
@pytest.mark.parametrize("value", [-0.5, math.nan, math.inf, "many", None])
def test_no_part_makes_a_job_cheaper_than_its_structure(name, value):
    with pytest.raises(PartError, match=f"got {name} .*only a structure makes a job cheaper"):
        Effects(**{name: value})


def test_a_model_answers_in_a_precision_that_the_device_model_knows():
    with pytest.raises(PartError, match="got inference 'fp7', expected fp32, fp16, int8"):
        Effects(inference="fp7")


def test_a_step_takes_no_less_than_a_plain_one():
    with pytest.raises(PartError, match=r"got step_time 0\.99, expected 1 or more"):
        Effects(step_time=0.99)


def test_two_stages_of_one_name_that_remember_nothing_may_follow_each_other():
    assert Plan(stages=(Clip(1.0), Noise(1.0), Clip(2.0))).stages == (Clip(1.0), Noise(1.0), Clip(2.0))


def test_what_is_abstract_must_be_written():
    assert Structure.__abstractmethods__ == {"build", "place"}


def test_a_part_says_nothing_of_itself_unless_it_does():
    assert (Listed(1.0).effects, Listed(1.0).label, Listed(1.0).remark) == (Effects(), "listed", "")
    assert (Listed(1.0).remembers, Listed(1.0).cites, Listed(1.0).adds_bytes) == (False, (), False)
    assert [part.keeps_memory for part in (Listed(1.0), ErrorFeedback(), FULL, Magnitude(0.5))] == [
        False,
        True,
        False,
        False,
    ]
    assert [Magnitude(0.5).one_by_one, FULL.covers, Width(0.5).covers, Width(0.5).moves] == [False, True, False, False]
    same = [np.ones(2)]
    assert Listed(1.0).sent(same, same, {"a": same[0]}) == {"a": same[0]}
    assert Listed(1.0).lost(same, {"a": same[0]}) == {"a": same[0]}


def test_what_the_parts_that_ship_say_and_cost():
    eight, four, masked = FakeQuant(8), FakeQuant(4), Magnitude(0.9)
    slow = 1 / math.sqrt(0.53 * 0.45)
    assert eight.effects == Effects(slow, 2.0, 0.0, 0.0, ("rtn8:weights",), "fp32")
    assert four.effects == Effects(slow, 2.0, 0.0, 0.0, ("rtn4:weights",), "fp32")
    assert masked.effects == Effects(1 / math.sqrt(0.90 * 0.97), 1.0, 0.0, 0.0, (), "fp32")
    assert [part.label for part in (eight, four, masked, Width(0.25), FULL)] == [
        "8 bits", "4 bits", "90% sparse", "width 0.25", "full",
    ]  # fmt: skip
    slower = "training steps are slower, not faster; "
    unpacked = "inference as fp32, whose weights are unpacked, unless static int8 is delivered"
    assert eight.remark == slower + unpacked
    assert four.remark == slower + "no 4-bit kernels: inference as fp32"
    assert masked.remark.startswith("the mask makes nothing faster")
    assert eight.changes_forward
    assert not masked.changes_forward
    assert (FULL.is_full, Width(1.0).is_full, Full().linear, Width(0.5).linear) == (True, True, True, True)


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (Width, (0.0, -0.5, 1.01)),
        (Magnitude, (0.0, 1.0, -1.0)),
        (FakeQuant, (0, 7, 16)),
        (Clip, (0.0, math.inf, -1.0)),
        (Noise, (0.0, math.nan)),
    ],
)
def test_values_out_of_range_are_refused(make, values):
    for value in values:
        with pytest.raises(PartError, match=rf"got {value}, expected"):
            make(value)


def test_values_at_the_edge_of_the_range_are_taken():
    assert (Width(1).share, Width(1e-9).share, Magnitude(0.999).sparsity) == (1, 1e-9, 0.999)
    with pytest.raises(PartError, match="scope: got 'layer', expected global or local"):
        Magnitude(0.5, "layer")


def test_equal_keys_mean_equal_nets():
    assert Width(0.5).key == "fedlite.compression.structure.width:Width(share=0.5)"
    assert FULL.key == "fedlite.compression.structure.full:Full()"


def test_a_plan_is_labelled_by_what_changes_net_and_training():
    assert Plan().label == "full"
    assert Plan(up=("int8",)).label == "full"
    assert Plan(stages=(Clip(1.0),), up=("int8",)).label == "clip"
    assert Plan("both", Width(0.5), (FakeQuant(8), Magnitude(0.5))).label == "width 0.5, 8 bits, 50% sparse"
    assert [Plan().is_full, Plan(constraints=(FakeQuant(8),)).is_full, Plan("w", Width(0.5)).is_full] == [
        True,
        False,
        False,
    ]
    plan = Plan(
        "both", Width(0.5), (FakeQuant(8), Magnitude(0.5)), (), (Clip(1.0), ErrorFeedback()), ("int8",), ("fp16",)
    )
    assert list(plan.parts) == [Width(0.5), FakeQuant(8), Magnitude(0.5), Clip(1.0), ErrorFeedback()]
    assert plan.effects == Effects.of(plan.parts)
    assert Plan.from_record(plan.record) == plan


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"name": ""}, "plan: got an empty name"),
        ({"up": ()}, r"plan 'full': got up \(\), expected a tuple of stages"),
        ({"down": ["fp32"]}, r"plan 'full': got down \['fp32'\]"),
        ({"constraints": (FakeQuant(8), FakeQuant(4))}, "got the constraint 'fake-quant' 2 times, expected it once"),
        ({"stages": (ErrorFeedback(), Noise(1.0), ErrorFeedback())}, "got the stage 'error-feedback' 2 times"),
        ({"terms": (Listed(1.0),) * 3}, "got the term 'listed' 3 times"),
    ],
)
def test_plans_that_cannot_be(told, message):
    with pytest.raises(PartError, match=message):
        Plan(**told)


# --- masks -----------------------------------------------------------------------------------------------------------

WEIGHTS = [
    np.array([[1, -2, 3], [4, -5, 6]], np.float32),
    np.array([0.1, 0.2], np.float32),
    np.array([[10.0, 20.0]], np.float64),
    np.array([[1, 2]], np.int64),
]
NAMES = ["a", "bias", "b", "count"]


@pytest.mark.parametrize(
    ("sparsity", "scope", "kept"),
    [
        (0.0, "global", ([[1, 1, 1], [1, 1, 1]], [[1, 1]])),
        (0.5, "global", ([[0, 0, 0], [0, 1, 1]], [[1, 1]])),
        (0.5, "local", ([[0, 0, 0], [1, 1, 1]], [[0, 1]])),
        (0.3, "local", ([[0, 0, 1], [1, 1, 1]], [[0, 1]])),
        (0.99, "global", ([[0, 0, 0], [0, 0, 0]], [[0, 0]])),
    ],
)
def test_masks_hold_the_smallest_weights_of_matrices_at_zero(sparsity, scope, kept):
    made_masks = masks(WEIGHTS, NAMES, sparsity, scope)
    assert [None if mask is None else mask.tolist() for mask in made_masks] == [kept[0], None, kept[1], None]
    assert {mask.dtype for mask in made_masks if mask is not None} == {np.dtype(np.float32)}


def test_equal_magnitudes_go_by_position():
    assert masks([np.array([[2, 1, 2, 1, 1]], np.float32)], ["a"], 0.4)[0].tolist() == [[1, 0, 1, 0, 1]]
    assert masks([np.array([[1, 1, 1, 1]], np.float32)], ["a"], 0.5)[0].tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("sparsity", [0.001, 0.1, 0.5, 0.77, 0.999])
def test_no_weight_that_is_held_at_zero_is_larger_than_one_that_stays(sparsity):
    weights = stream(2, "masks").permutation(2003).astype(np.float32).reshape(1, -1)
    keep = masks([weights], ["a"], sparsity)[0].astype(bool)
    assert np.sort(weights[~keep]).tolist() == list(range(round(sparsity * 2003)))


@pytest.mark.parametrize("sparsity", [-0.1, 1.0])
def test_sparsities_out_of_range(sparsity):
    with pytest.raises(MaskError, match=f"got sparsity {sparsity}, expected from 0 to below 1"):
        masks(WEIGHTS, NAMES, sparsity)


def test_masks_that_cannot_be_made():
    with pytest.raises(MaskError, match="got 3 names for 4 tensors"):
        masks(WEIGHTS, NAMES[:3], 0.5)
    with pytest.raises(MaskError, match="got 5 names for 4 tensors"):
        masks(WEIGHTS, [*NAMES, "more"], 0.5)
    with pytest.raises(MaskError, match="mask: b holds values that are not finite"):
        masks([*WEIGHTS[:2], WEIGHTS[2] * np.inf, WEIGHTS[3]], NAMES, 0.5)
    bias = [WEIGHTS[0], np.array([np.nan, 1], np.float32), *WEIGHTS[2:]]
    assert masks(bias, NAMES, 0.5)[1] is None


def test_masks_are_one_for_each_parameter():
    import torch

    masked = Magnitude(0.5)
    weights, state = [torch.ones(2, 2), torch.ones(2)], [torch.zeros(2, 2), None]
    masked.after(weights, state, stacked=False)
    assert [weight.tolist() for weight in weights] == [[[0, 0], [0, 0]], [1, 1]]
    with pytest.raises(ValueError, match="zip"):
        masked.after(weights, state[:1], stacked=False)


# --- aggregation -----------------------------------------------------------------------------------------------------


def test_aggregation_refuses_what_does_not_fit():
    total = OverlapSum([(2,), (3,)])
    for weight in (-1.0, math.inf, math.nan):
        with pytest.raises(OverlapError, match="expected a finite number of at least 0"):
            total.add([np.zeros(2), np.zeros(3)], weight)
    with pytest.raises(OverlapError):
        total.add([np.zeros(2)], 1.0)
    with pytest.raises(OverlapError):
        total.add([np.zeros(2), np.zeros(4)], 1.0)
    total.add([np.zeros(2), np.zeros(3)], 0.0)


@pytest.mark.parametrize("at_once", [1, 2, 7, 10_000])
def test_weighted_sums_do_not_depend_on_how_many_elements_are_summed_at_once(at_once, monkeypatch):
    from fedlite.compression import overlap

    stacked = [np.arange(24, dtype=np.float32).reshape(4, 2, 3), np.array([1, 2, 3, 4], np.float32)]
    weights = np.array([1.0, 0.5, 2.0, 4.0])
    monkeypatch.setattr(overlap, "_ELEMENTS_AT_ONCE", at_once)
    for mine, array in zip(weighted_sums(stacked, weights), stacked, strict=True):
        assert mine.dtype == np.float64
        assert mine.tolist() == np.tensordot(weights, array.astype(np.float64), axes=1).tolist()


def test_slices_of_models_with_different_tensors_are_refused():
    with pytest.raises(WidthError, match="got 1 tensors, expected the full model's 2"):
        index_maps([(2,), (3,)], [(1,)])
    with pytest.raises(ValueError, match="zip"):
        index_maps([(2,), (3,)], [(1,), (2,)], [{}], [{}, {}])
    with pytest.raises(WidthError, match=r"tensor 1: got shape \(2, 1\), expected 1 dimensions"):
        index_maps([(2,), (3,)], [(1,), (2, 1)])
    with pytest.raises(WidthError, match=r"tensor 0, dimension 0: .* cannot be wider"):
        index_maps([(2,)], [(3,)])


def test_a_mean_is_taken_over_all_tensors_of_the_model():
    total = OverlapSum([(2,), (1,)])
    total.add([np.array([2.0, 4.0]), np.array([3.0])], 2.0)
    model = [np.zeros(2, np.float32), np.array([9], np.int64)]
    assert [array.tolist() for array in total.finish(model)] == [[1.0, 2.0], [2]]
    with pytest.raises(ValueError, match="zip"):
        total.finish(model[:1])


def test_the_coordinates_of_a_slice_are_worked_out_once_per_net_and_share():
    spec = spec_of("mlp", (6,), 3, 1, hidden=(8,))
    model = [value.numpy() for value in spec.build().state_dict().values()]
    maps = [Width(share).place(spec, model).maps for share in (0.5, 0.5, 0.25)]
    assert maps[0] is maps[1]
    assert maps[0] is not maps[2]
    with pytest.raises(ValueError, match="zip"):
        take(model[:1], maps[0])


def test_the_norm_of_an_update_leaves_counters_out():
    assert norm_of([np.array([3.0], np.float32), np.array([100]), np.array([[4.0]], np.float64)]) == 5.0


@pytest.mark.parametrize("left_out", ["build", "place"])
def test_a_structure_without_what_it_must_have_is_named(left_out, monkeypatch):
    monkeypatch.setitem(globals(), "Half", dataclass(frozen=True)(type("Half", (Full,), {})))
    assert found(f"{__name__}:Half", Structure) is Half  # noqa: F821 (put there a line above)
    hooks = {name: getattr(Full, name) for name in ("build", "place") if name != left_out}
    monkeypatch.setitem(
        globals(), "Half", dataclass(frozen=True)(type("Half", (Structure,), {"name": "half", **hooks}))
    )
    with pytest.raises(PartError, match=f"without '{left_out}', expected all that Structure asks for; add it"):
        found(f"{__name__}:Half", Structure)
