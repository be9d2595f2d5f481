"""What an import assumes and an export would do is said in plain words."""

from __future__ import annotations

import pytest
import yaml

from fedlite.scenario.rollout.exchange import SYSTEMS, export
from fedlite.scenario.rollout.exchange.plan_text import plan_text
from tests.unit.rollout_plan.test_exchange import AWS, DOCUMENTS, HAWKBIT, completed

RAW = "{name: installs, metric: install_failure, method: threshold, threshold: 5 %, every: 1 h, on_fail: abort}"
RATE = "strategy: {rate: {maximumPerMinute: 5}}\n"
WAVES = "strategy: {waves: [{percent: 20 %}, {rest: true, after: 1 d}]}\n"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_import_has_no_conditions_that_the_other_system_does_not_have(imported, name):
    system, document = DOCUMENTS[name]
    read = imported(system, document)
    plan = completed(read.plan)
    assert (plan.download.unmetered, plan.download.jitter_s) == (False, 0.0)
    text = plan_text(read.plan, SYSTEMS[system].title)
    assert (
        f"# {SYSTEMS[system].title} waits neither for Wi-Fi nor for a drawn time; fedlite would by default.\n" in text
    )
    # Nor does its own export call that a condition which the other system lacks.
    assert not {"download.unmetered", "download.jitter"} & {one.key for one in export(plan, system)[1]}


def test_what_an_import_assumes_is_listed_with_its_value(imported):
    told = {one.key: one.why for one in imported("aws", AWS).assumed}
    assert told["model.install_failure"] == "1 % of a good build's installations fail"
    assert told["download.failure"] == "1 % of the attempts to download break off"
    assert "download.retries" not in told
    assert "strategy.approval" not in told
    told = {one.key: one.why for one in imported("hawkbit", HAWKBIT).assumed}
    assert told["download.retries"] == "3 more attempts after one that broke off"
    assert told["strategy.approval"] == "1 d until a person lets it go on"


def test_what_a_plan_asks_by_default_is_listed_where_the_other_system_does_not(plans):
    left = {one.key for one in export(plans.read(), "aws")[1]}
    assert {"download.unmetered", "download.jitter"} <= left
    free = plans.read("download: {unmetered: false, jitter: 0 s}\n")
    assert not {one.key for one in export(free, "aws")[1]} & {"download.unmetered", "download.jitter"}


def test_a_time_from_asking_is_not_awss_timeout(plans):
    document, left = export(plans.read("download: {timeout: 90 min}\n"), "aws")
    assert "timeoutConfig" not in document
    assert [one.why for one in left if one.key == "download.timeout"] == [
        "AWS counts from the beginning of the work (in_progress), not from asking"
    ]
    document, left = export(plans.read("download: {in_progress: 90 min}\n"), "aws")
    assert document["timeoutConfig"] == {"inProgressTimeoutInMinutes": 90}
    assert not any(one.key.startswith("download.in") for one in left)


AWS_ALL = "as written the job goes to all its targets at once, at AWS's default rate"
MENDER_ALL_NOW = "as written all phases begin at the same time, so it goes to all devices at once"
MENDER_ALL = "as written the deployment has no phases and goes to all devices at once"
SECOND = "\n  - {name: b, metric: crash, method: exact, baseline: 1 %, every: 1 h}"
AT_WORST = [
    ("aws", None, None, f"strategy and gates: {AWS_ALL}, and nothing stops it"),
    ("aws", WAVES, RAW, f"strategy: {AWS_ALL}"),
    ("aws", WAVES, RAW + SECOND,
     f"strategy and gates: {AWS_ALL}, and only 1 of the plan's 2 gates can stop it"),
    ("aws", RATE, RAW, None),
    ("hawkbit", RATE, RAW, "strategy: as written the rollout has no groups and goes to all its targets at once"),
    ("hawkbit", None, None, "gates: as written nothing stops it"),
    ("hawkbit", WAVES, RAW, None),
    ("mender", WAVES, RAW, f"strategy and gates: {MENDER_ALL_NOW}, and nothing stops it"),
    ("mender", RATE, RAW, f"strategy and gates: {MENDER_ALL}, and nothing stops it"),
    ("argo", RATE, RAW, "strategy: as written the Rollout has no steps and goes to all at once"),
    ("argo", None, None, "gates: as written nothing stops it"),
    ("argo", WAVES, RAW, None),
]  # fmt: skip


@pytest.mark.parametrize(("system", "strategy", "gate", "first"), AT_WORST)
def test_what_a_document_does_without_its_waves_or_gates_stands_first(plans, system, strategy, gate, first):
    parts = {key: part for key, part in (("strategy", strategy), ("gate", gate)) if part is not None}
    left = export(plans.read(**parts), system)[1]
    told = [str(one) for one in left if "as written " in one.why and "whole percentage" not in one.why]
    assert told == ([] if first is None else [first])
    if first:
        assert str(left[0]) == first


def test_each_analysis_that_argo_loses_has_a_line_of_its_own(plans):
    more = (
        "    - setWeight: 50 %\n    - pause: {duration: 1 h}\n    - analysis: [raw, installs]\n    - setWeight: 100 %\n"
    )
    strategy = plans.text[plans.text.index("strategy:") : plans.text.index("gates:")]
    strategy = strategy.replace("    - setWeight: 100 %\n", more)
    gates = "{name: installs, metric: install_failure, method: sequential, baseline: 1 %}\n  - " + RAW.replace(
        "installs", "raw"
    )
    document, left = export(plans.read(strategy=strategy, gate=gates), "argo")
    assert [one.key for one in left if "its analysis of 'installs' is left out" in one.why] == [
        "strategy (1 %)",
        "strategy (50 %)",
    ]
    steps = document["items"][0]["spec"]["strategy"]["canary"]["steps"]
    assert [step["analysis"]["templates"] for step in steps if "analysis" in step] == [[{"templateName": "raw"}]]


def test_a_plan_that_fedlite_writes_is_read_alike_by_yaml_1_1(plans):
    from fedlite.scenario.rollout.loading import dump_rollout, parse_rollout

    plan = plans.read("worlds:\n  - {name: 'yes', changes: {install_failure: 9 %}, on: {tiers: [phone-low]}}\n")
    text = dump_rollout(plan)
    assert "'on':" in text
    assert yaml.safe_load(text)["worlds"][0]["on"] == {"tiers": ["phone-low"], "profiles": []}
    assert yaml.safe_load(text)["worlds"][0]["name"] == "yes"
    assert parse_rollout(text) == plan


def test_hawkbits_shares_come_back_as_they_were(plans, imported):
    fifths = "strategy: {waves: [{percent: 20 %}, {percent: 20 %, installed: 50 %}, {percent: 20 %, installed: 60 %}, "
    plan = plans.read(strategy=fifths + "{percent: 20 %, installed: 50 %}, {rest: true, installed: 50 %}]}\n", gates="")
    document = export(plan, "hawkbit")[0]
    assert [group["targetPercentage"] for group in document["groups"]] == [20, 25, 33.333333, 50, 100]
    waves = imported("hawkbit", document).plan["strategy"]["waves"]
    assert [wave.get("percent", "rest") for wave in waves] == ["20 %", "20 %", "20 %", "20 %", "rest"]
    some = {"name": "r", "groups": [{"targetPercentage": 100 / 7}, {"targetPercentage": 50}]}
    read = imported("hawkbit", some)
    assert [wave["percent"] for wave in read.plan["strategy"]["waves"]] == ["14.285714 %", "42.857143 %"]
    assert any("42.8571 % of the targets are in no group" in one.why for one in read.left)


def _groups(*errors, own=None):
    groups = [{"targetPercentage": 50}, {"targetPercentage": 100}]
    for group, error in zip(groups, errors, strict=True):
        if error is not None:
            group["errorCondition"] = {"condition": "THRESHOLD", "expression": error}
    rollout = {"name": "r", "groups": groups}
    return rollout | ({"errorCondition": {"condition": "THRESHOLD", "expression": own}} if own else {})


@pytest.mark.parametrize(
    ("errors", "own", "threshold", "listed"),
    [
        (("7", "7"), None, "7 %", []),
        (("7", "7"), "5", "7 %", ["errorCondition"]),
        (("5", None), "5", "5 %", []),
        (("7", None), "5", "5 %", ["groups.0.errorCondition"]),
        (("7", "8"), "5", "5 %", ["groups.0.errorCondition", "groups.1.errorCondition"]),
        (("7", None), None, None, ["groups.0.errorCondition"]),
    ],
)
def test_one_error_condition_of_all_groups_is_one_gate(imported, errors, own, threshold, listed):
    read = imported("hawkbit", _groups(*errors, own=own))
    gates = read.plan.get("gates", [])
    assert [gate["threshold"] for gate in gates] == ([threshold] if threshold else [])
    told = [one for one in read.left if "counted over all devices" not in one.why]
    assert [one.key for one in told] == listed
    assert len(read.left) == len(told) + len(gates)
