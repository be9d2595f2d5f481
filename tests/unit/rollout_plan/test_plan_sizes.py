"""A plan's numbers of devices, its looks and its worlds are held against the fleet before anything is rehearsed."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from fedlite.cli.validate import validate
from fedlite.compose.rollout_models import variants
from fedlite.compose.rollout_plan import rehearsed
from fedlite.errors import FedliteError
from fedlite.scenario.profiles import load_profile
from fedlite.scenario.rollout.devices import DeviceFilter
from fedlite.scenario.rollout.reach import most_devices, remarks

EXACT = "{name: installs, metric: install_failure, method: exact, baseline: 1 %, %s}"
UNEVEN = "{devices: 1001, mix: {pixel-4: 30 %, galaxy-a21s: 70 %}}"


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("min_executed: 1001", "got 1001, but the fleet has 1000 devices, so it never judges; write 1000 or less, or"),
        ("min_executed: 501, per: class", "got 501, but the largest class of the fleet has 500 devices, so it never"),
        ("min_executed: 1000", None),
        ("min_executed: 500, per: class", None),
    ],
)
def test_a_gate_that_waits_for_more_devices_than_there_are_is_refused(plans, gate, told):
    found = plans.mistakes(gate=EXACT.replace("%s", gate))
    assert len(found) == (told is not None)
    if told:
        assert found[0].startswith(f"plan.yaml:13:91: gates.0.min_executed: {told}")


@pytest.mark.parametrize(
    ("waves", "told"),
    [
        (
            "[{count: 600}, {count: 600, after: 1 d}]",
            (
                "plan.yaml:6:42: strategy.waves.1.count: got waves of 1200 of the same devices up to here, but the"
                " fleet has 1000 of them; write 'count: 400' or less, or 'rest: true'"
            ),
        ),
        ("[{count: 1000}, {count: 1, after: 1 d}]", "strategy.waves.1.count: got waves of 1001 of the same devices"),
        ("[{count: 5000}, {rest: true, after: 1 d}]", "strategy.waves.0.count: got waves of 5000"),
        (
            "[{count: 600}, {percent: 50 %, after: 1 d}]",
            "strategy.waves.1.percent: got waves of 1100 of the same devices up to here, but the fleet has",
        ),
        (
            "[{count: 600, filter: {tiers: [phone-low]}}, {rest: true, after: 1 d}]",
            "strategy.waves.0.count: got waves of 600 of the same devices up to here, but the fleet has 500 of them",
        ),
        ("[{count: 500, filter: {tiers: [phone-low]}}, {count: 600, after: 1 d}, {rest: true, after: 1 d}]", None),
        ("[{count: 400}, {count: 600, after: 1 d}]", None),
    ],
)
def test_waves_of_more_devices_than_there_are_are_refused(plans, waves, told):
    found = plans.mistakes(strategy=f"strategy: {{waves: {waves}}}\n", gates="")
    assert len(found) == (told is not None)
    if told:
        assert told in found[0]


def test_devices_of_a_filter_are_counted_as_they_are_dealt(plans):
    fleet = plans.read(fleet=UNEVEN).fleet
    dealt = {"pixel-4": 300, "galaxy-a21s": 701}
    for name, number in dealt.items():
        assert number <= most_devices(fleet, DeviceFilter(profiles=(name,))) <= number + 1
    assert most_devices(fleet, DeviceFilter()) == 1001


DROPS = [
    (
        "accuracy_drop: 71 %",
        "got 71 %, more than the accuracy on galaxy-a21s that it is taken from, 70 %; write 70 % or less",
    ),
    ("accuracy_drop: 70 %", None),
]


@pytest.mark.parametrize(("changes", "told"), DROPS)
def test_a_drop_of_more_accuracy_than_there_is_is_refused(plans, changes, told):
    found = plans.mistakes(f"worlds:\n  - {{name: bad, changes: {{{changes}}}}}\n")
    line = f"plan.yaml:15:42: worlds.0.changes.accuracy_drop: {told}"
    assert found == ([line] if told else [])


@pytest.mark.parametrize(("tier", "wrong"), [("phone-low", True), ("phone-high", False)])
def test_a_drop_is_held_against_the_classes_that_it_is_on(plans, tier, wrong):
    by_class = "{name: int8, bytes: 4 MB, memory: 20 MiB, macs: 1e6, accuracy: {phone-low: 40 %, any: 80 %}}"
    found = plans.mistakes(
        f"worlds:\n  - {{name: bad, changes: {{accuracy_drop: 50 %}}, on: {{tiers: [{tier}]}}}}\n", variant=by_class
    )
    assert [("galaxy-a21s" in one, "40 %" in one) for one in found] == ([(True, True)] if wrong else [])


def test_a_drop_below_what_a_class_is_really_given_is_refused_before_anything_is_rehearsed(plans):
    slow = "{name: slow, bytes: 4 MB, memory: 20 MiB, macs: 1e12, accuracy: 90 %, requires: {latency: 1 ms}}"
    quick = "{name: quick, bytes: 4 MB, memory: 20 MiB, macs: 1e6, accuracy: 40 %}"
    world = "worlds:\n  - {name: bad, changes: {accuracy_drop: 50 %}}\n"
    plan = plans.read(world, variant=f"{slow}\n    - {quick}")
    profiles = [load_profile(name) for name in plan.fleet.mix]
    with pytest.raises(
        FedliteError, match="accuracy_drop: got 50 %, more than the accuracy of 'quick' on galaxy-a21s, 40 %"
    ):
        rehearsed(plan, variants(plan.model, profiles))


LOOKS = [
    (
        "waves: [{percent: 5 %, analysis: [installs]}, {percent: 5 %, after: 0 s}, {rest: true, after: 1 d}]",
        (
            "plan.yaml:7:36: strategy.waves.0.analysis: got an analysis at the end of a wave that wave 2 follows at the"
            " same moment, so nobody of it has the model yet and it sees nothing; let wave 2 begin later, such as"
            " 'after: 24 h', or remove the analysis"
        ),
    ),
    (
        (
            "waves: [{percent: 5 %, start: 1 d}, {percent: 5 %, start: 2 d, analysis: [installs]},"
            " {rest: true, start: 2 d}]"
        ),
        "strategy.waves.1.analysis: got an analysis at the end of a wave that wave 3 follows at the same moment",
    ),
    ("waves: [{percent: 5 %, analysis: [installs]}, {rest: true, installed: 50 %}]", None),
    ("waves: [{percent: 5 %, analysis: [installs]}, {rest: true, approval: true}]", None),
    ("waves: [{percent: 5 %, analysis: [installs]}, {rest: true, after: 1 h}]", None),
    (
        "steps: [{setWeight: 5 %}, {analysis: [installs]}, {pause: {duration: 1 d}}, {setWeight: 100 %}]",
        "strategy.steps.1.analysis: got an analysis at the moment at which the first devices are let in, which sees",
    ),
    ("steps: [{setWeight: 5 %}, {pause: {}}, {analysis: [installs]}, {setWeight: 100 %}]", None),
]


@pytest.mark.parametrize(("strategy", "told"), LOOKS)
def test_an_analysis_that_can_see_nobody_is_refused(plans, strategy, told):
    found = plans.mistakes(strategy=f"strategy:\n  {strategy}\n")
    assert len(found) == (told is not None)
    if told:
        assert told in found[0]


ENDS = [
    ("steps: [{setWeight: 5 %}, {pause: {duration: 1 d}}, {setWeight: 50 %}]", "50 %"),
    ("waves: [{percent: 5 %}, {count: 100, after: 1 d}]", "15 %"),
    ("waves: [{percent: 50 %, filter: {tiers: [phone-low]}}, {percent: 10 %, after: 1 d}]", "35 %"),
    ("waves: [{percent: 5 %}, {rest: true, after: 1 d}]", None),
    ("rate: {maximumPerMinute: 5}", None),
    ("preset: apple-phased", None),
]


@pytest.mark.parametrize(("strategy", "share"), ENDS)
def test_a_plan_that_ends_below_all_is_in_order_and_says_so(plans, tmp_path, strategy, share):
    text = plans.changed(strategy=f"strategy:\n  {strategy}\n", gates="gates: []\n")
    told = [] if share is None else [f"the plan lets in {share} of the devices at most"]
    assert remarks(plans.read(strategy=f"strategy:\n  {strategy}\n", gates="gates: []\n")) == told
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    app = typer.Typer()
    app.command()(validate)
    said = CliRunner().invoke(app, [str(path)])
    assert said.exit_code == 0
    assert said.stdout == f"{path}: this rollout is in order{''.join(f'; mind that {one}' for one in told)}\n"
    record = json.loads(CliRunner().invoke(app, [str(path), "--json"]).stdout)
    assert (record["valid"], record.get("remarks", [])) == (True, told)


WORDS = [
    ("download: {window: [3 h]}", "window: got a list of 1, expected two times of day, from when to when"),
    ("download: {window: [1 h, 2 h, 3 h]}", "window: got a list of 3, expected two times of day"),
    ("download: {window: 3 h}", "window: got '3 h', expected two times of day"),
    ("download: {failure: 100 %}", "failure: got '100 %', expected 0 % or more and less than 100 %; choose"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "told"), WORDS)
def test_what_is_expected_is_said_in_the_words_of_the_plan(plans, more, told):
    (found,) = plans.mistakes(f"{more}\n")
    assert f"download.{told}" in found


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("baseline: 100 %", "got '100 %', expected more than 0 % and less than 100 %; choose a value in this range"),
        ("baseline: 1 %, alpha: 0 %", "got '0 %', expected more than 0 % and less than 100 %"),
        ("control: 60 %", "got '60 %', expected more than 0 % and at most 50 %"),
    ],
)
def test_shares_of_gates_are_bounded_in_percent(plans, key, told):
    (found,) = plans.mistakes(gate=f"{{name: installs, metric: crash, method: sequential, {key}}}")
    assert told in found
