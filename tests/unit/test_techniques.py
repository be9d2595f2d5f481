"""The catalogue: what each entry says of itself, its options, and techniques in an order."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fedlite.compose.toolbox import catalogue, with_options
from fedlite.compression.part import PartError
from fedlite.errors import FedliteError
from fedlite.learning.data.catalog import CATALOG
from fedlite.learning.models import MODELS
from fedlite.scenario.clients import PlanSection
from fedlite.scenario.profiles import load_profile
from fedlite.techniques import TECHNIQUES, technique
from fedlite.techniques.pipeline import joined

SAVES = {"stored", "wire", "compute", "memory"}
WHERE = {"device", "uplink", "downlink", "server"}
each = pytest.mark.parametrize("one", TECHNIQUES.values(), ids=list(TECHNIQUES))


@each
def test_an_entry_says_what_it_is(one):
    assert set(one.saves) <= SAVES
    assert set(one.where) <= WHERE
    assert one.where
    assert one.cites
    assert one.rows
    assert one.does.endswith(".")
    assert "wire" not in one.saves or {"uplink", "downlink"} & set(one.where)


@each
def test_its_example_is_one_that_can_be_made(one):
    assert one.example.model in MODELS
    assert one.example.dataset in CATALOG
    load_profile(one.example.device)
    one.made(one.example.set)
    assert one.made({name: str(value) for name, value in one.example.set.items()}) == one.made(one.example.set)


def test_the_list_is_the_catalogue_as_plain_values():
    listed = catalogue()
    assert [one["technique"] for one in listed] == list(TECHNIQUES)
    assert all(set(one["example"]) == {"model", "dataset", "device", "set"} for one in listed)


@pytest.mark.parametrize("listed", catalogue(), ids=lambda one: one["technique"])
def test_the_list_says_what_a_plan_may_name(listed):
    written = {"name": listed["technique"], **listed["example"]["set"]}
    if listed["in_plans"]:
        assert PlanSection.model_validate({"techniques": [written]}).techniques[0].name == listed["technique"]
    else:
        with pytest.raises(ValidationError, match=r"searches for a plan|chooses among plans|a server has trained"):
            PlanSection.model_validate({"techniques": [written]})


def test_options_are_checked_by_name_type_and_range():
    with pytest.raises(PartError, match=r"weight-only: got the option 'bit', expected bits, keep; write 'bits'"):
        technique("weight-only").made({"bit": 4})
    with pytest.raises(PartError, match=r"weight-only.bits: got 'four', expected int; mend the value"):
        technique("weight-only").made({"bits": "four"})
    with pytest.raises(PartError, match=r"^weight-only.bits: got 3, expected 8, 4 or 2"):
        technique("weight-only").made({"bits": "3"})
    with pytest.raises(FedliteError, match=r"static-int8"):
        technique("static-int9")
    with pytest.raises(PartError, match=r"^delta-downlink\.delta: codec: got the stage 'nope'"):
        technique("delta-downlink").made({"delta": "nope"})
    assert technique("weight-only").read({"bits": "2", "keep": "fc"}) == {"bits": 2, "keep": ("fc",)}
    assert technique("static-int8").made({"keep": "fc,features.0"}) == technique("static-int8").made(
        {"keep": ("fc", "features.0")}
    )


def test_a_setting_goes_to_the_technique_that_has_it():
    names = ["unstructured-pruning", "static-int8", "weight-only"]
    assert with_options(names, {"sparsity": "0.9", "rows": "8"}) == [
        (names[0], {"sparsity": "0.9"}),
        (names[1], {"rows": "8"}),
        (names[2], {}),
    ]
    assert with_options(names, {"weight-only.keep": "fc"})[2] == ("weight-only", {"keep": "fc"})
    with pytest.raises(FedliteError, match=r"--set: got 'keep', which several of .* have, expected one"):
        with_options(names, {"keep": "fc"})


def both(first, second):
    return joined(technique(first).made({}), technique(second).made({})).plan


def test_techniques_keep_their_order():
    plan = both("unstructured-pruning", "static-int8")
    assert [part.name for part in plan.parts] == ["full", "magnitude", "static-quantization"]
    assert plan.up == technique("unstructured-pruning").made({}).plan.up
    after = both("clustering", "width-slicing")
    assert [part.name for part in after.deliveries] == ["clustering", "entropy-coding"]
    assert after.structure.name == "width"


def test_two_of_one_kind_do_not_go_together():
    with pytest.raises(PartError, match="expected one, for the second does not know the tensors of the first"):
        both("width-slicing", "width-slicing")
    with pytest.raises(PartError, match="got the delivery 'static-quantization' 2 times"):
        both("static-int8", "qat-int8")
    with pytest.raises(PartError, match="got the nets"):
        joined(technique("compact-net").made({}), technique("compact-net").made({}))
