"""What a plan saves and what not, in the words of `fedlite compress` and of a run's report."""

from __future__ import annotations

import pytest

from fedlite.compose.plan_remarks import plan_remarks, said_of
from fedlite.compression.constraint.magnitude import Magnitude
from fedlite.compression.plan import Plan
from fedlite.compression.structure.depth import Depth
from fedlite.compression.structure.width import Width
from fedlite.learning.models.spec import spec_of
from fedlite.report.run_data import read_run
from fedlite.report.run_page import run_page
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

MLP = spec_of("mlp", (1, 8, 8), 10, 1)


def said(plan, spec=MLP, objective="cross-entropy", macs=1.0, params=1.0, **faster):
    return plan_remarks(plan, spec, objective, macs=macs, params=params, **faster)


def test_a_structure_says_what_it_removes():
    half = Plan("half", Width(0.5))
    assert said(half, macs=0.27, params=0.26) == ["27% of the multiplications and 26% of the parameters"]
    (slow,) = said(half, macs=0.27, params=0.26, faster=1.9)
    assert slow.endswith("of the parameters, but a training step only 1.9 times as fast")
    (fast,) = said(half, macs=0.5, params=0.5, faster=2.0)
    assert fast.endswith("of the parameters, a training step 2.0 times as fast")


@pytest.mark.parametrize("codecs", [{"up": ("int8",)}, {"down": ("fp16",)}, {"delta": ("exact",)}])
def test_codecs_alone_save_bytes_alone(codecs):
    assert said(Plan("wire", **codecs)) == ["saves bytes on the way, nothing else"]
    masked = Plan("mask", constraints=(Magnitude(0.9),), **codecs)
    assert said(masked) == [Magnitude(0.9).remark]


def test_the_full_plan_saves_nothing():
    assert said(Plan()) == []
    assert said_of(Plan(), MLP, "cross-entropy", macs=1.0, params=1.0).startswith("saves nothing: the full model")


@pytest.mark.parametrize(("outputs", "objective", "warns"), [("all", "exits", 0), ("last", "cross-entropy", 1)])
def test_a_shallow_net_warns_of_exits_only_where_they_are_not_all_trained(outputs, objective, warns):
    spec = spec_of("resnet8-exits", (3, 8, 8), 10, 1, outputs=outputs)
    told = said(Plan("shallow", Depth(1)), spec, objective, macs=0.1, params=0.1)
    assert len([one for one in told if "only if the net gives all exits" in one]) == warns
    assert told[0].startswith("10% of the multiplications")


SCENARIO = """
name: sentences
fleet:
  devices: 9
  mix: {pixel-8: 34 %, pi-4b: 33 %, galaxy-a52: 33 %}
  rules: {charging: false, unmetered: false, idle: false}
task: {data: digits, partition: iid, model: mlp}
training: {rounds: 1, clients_per_round: 9, local: {lr: 0.1}}
clients:
  - {for: {profile: pixel-8}, when: {charge_below: 100 %}, plan: {width: 0.25}}
  - {for: {profile: pi-4b}, plan: {up: int8}}
  - {for: {profile: galaxy-a52}, plan: auto, limits: {up: 8 kB}, among: {quarter: {width: 0.25}, whole: full}}
"""


def test_every_plan_of_the_table_has_its_sentence(tmp_path):
    done = run(parse_scenario(SCENARIO), out=tmp_path / "run", settings=Settings("local"))
    followed = set(done.clients["plan"])
    assert followed == {"width 0.25", "int8 up", "quarter"}
    (block,) = [
        str(block)
        for section in run_page(read_run(done.path)).sections
        for block in section.blocks
        if "What plans save and what not" in str(block)
    ]
    told = block[block.index("What plans save and what not") :]
    for plan in followed:
        assert f">{plan}<" in told
        assert done.summary["plan_remarks"][plan]
    assert done.summary["plan_remarks"]["int8 up"] == "saves bytes on the way, nothing else"
    assert "of the multiplications and" in done.summary["plan_remarks"]["width 0.25"]
    assert done.summary["plan_remarks"]["full"].startswith("saves nothing")
