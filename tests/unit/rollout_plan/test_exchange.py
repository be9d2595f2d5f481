"""Plans of other systems: what is carried over both ways, what is listed, what is refused."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime

import pytest

from fedlite.errors import FedliteError, InvalidFileError
from fedlite.scenario.dump import dump
from fedlite.scenario.rollout.exchange import SYSTEMS, export, load
from fedlite.scenario.rollout.exchange.argo_durations import as_seconds, as_text
from fedlite.scenario.rollout.loading import parse_rollout
from fedlite.scenario.rollout.plan import as_written

FLEET = {"devices": 1000, "mix": {"pi-4b": 1}}
MODEL = {"variants": [{"name": "a", "bytes": "4 MB", "memory": "20 MiB", "macs": 1e6, "accuracy": "70 %"}]}
START = datetime(2026, 3, 2, 8, tzinfo=UTC)

AWS = {
    "jobId": "fw-7",
    "description": "Firmware 7",
    "jobExecutionsRolloutConfig": {
        "maximumPerMinute": 1000,
        "exponentialRate": {
            "baseRatePerMinute": 50,
            "incrementFactor": 1.5,
            "rateIncreaseCriteria": {"numberOfSucceededThings": 1000},
        },
    },
    "abortConfig": {
        "criteriaList": [
            {
                "failureType": "FAILED",
                "action": "CANCEL",
                "thresholdPercentage": 7.0,
                "minNumberOfExecutedThings": 100,
            }
        ]
    },
    "timeoutConfig": {"inProgressTimeoutInMinutes": 90},
    "jobExecutionsRetryConfig": {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 2}]},
}
HAWKBIT = {
    "name": "exampleRollout",
    "description": "For all",
    "amountGroups": 3,
    "successCondition": {"condition": "THRESHOLD", "expression": "60"},
    "successAction": {"action": "NEXTGROUP", "expression": ""},
    "errorCondition": {"condition": "THRESHOLD", "expression": "12.5"},
    "errorAction": {"action": "PAUSE", "expression": ""},
}
GROUPS = {
    **{key: value for key, value in HAWKBIT.items() if key != "amountGroups"},
    "groups": [
        {"targetPercentage": 10},
        {
            "targetPercentage": 50,
            "successCondition": {"condition": "THRESHOLD", "expression": "90"},
            "successAction": {"action": "PAUSE", "expression": ""},
        },
        {"targetPercentage": 100},
    ],
}
MENDER = {
    "name": "production-7",
    "phases": [
        {"batch_size": 5, "start_ts": "2026-03-02T08:00:00Z"},
        {"batch_size": 15, "start_ts": "2026-03-03T20:30:00Z"},
        {"start_ts": "2026-03-05T08:00:00Z"},
    ],
    "retries": 3,
}
ROLLOUT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Rollout",
    "metadata": {"name": "kws"},
    "spec": {
        "strategy": {
            "canary": {
                "steps": [
                    {"setWeight": 20},
                    {"pause": {"duration": "90m"}},
                    {"analysis": {"templates": [{"templateName": "installs"}]}},
                    {"pause": {}},
                    {"setWeight": 60},
                    {"pause": {"duration": "24h"}},
                    {"setWeight": 100},
                ],
                "analysis": {"templates": [{"templateName": "crashes"}], "startingStep": 4},
            }
        }
    },
}


def template(called, **metric):
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": called},
        "spec": {"metrics": [metric]},
    }


ARGO = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        ROLLOUT,
        template("installs", name="install_failure", successCondition="result < 0.05", failureLimit=2),
        template("crashes", name="crash", successCondition="result < 0.01", interval="5m"),
    ],
}
DOCUMENTS = {
    "aws": ("aws", AWS),
    "hawkbit": ("hawkbit", HAWKBIT),
    "hawkbit-groups": ("hawkbit", GROUPS),
    "mender": ("mender", MENDER),
    "argo": ("argo", ARGO),
    "argo-alone": (
        "argo",
        {**ROLLOUT, "spec": {"strategy": {"canary": {"steps": [{"setWeight": 5}, {"pause": {}}, {"setWeight": 100}]}}}},
    ),
}


def completed(mapping):
    """Return the plan whose fleet and model somebody has told."""
    return parse_rollout(dump({**mapping, "fleet": FLEET, "model": MODEL}), "imported.yaml")


def changed(document, *path, value):
    result = copy.deepcopy(document)
    inner = result
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return result


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_comes_back_as_it_was(imported, name):
    system, document = DOCUMENTS[name]
    plan = completed(imported(system, document).plan)
    start = START if system == "mender" else None
    assert export(plan, system, start)[0] == document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_plan_that_was_imported_comes_back_as_it_was(imported, name):
    system, document = DOCUMENTS[name]
    plan = completed(imported(system, document).plan)
    again = completed(imported(system, export(plan, system, START if system == "mender" else None)[0]).plan)
    assert as_written(again) == as_written(plan)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_unknown_field_is_listed_with_its_place_and_never_dropped(imported, name):
    system, document = DOCUMENTS[name]
    text = (
        dump({"zzz": {"x": 1}, **document}) if system == "argo" else json.dumps({"zzz": {"x": 1}, **document}, indent=1)
    )
    left = imported(system, document, text).left
    found = [one for one in left if one.key == "zzz"]
    assert [str(one).split(": ", 1)[1] for one in found] == ["zzz: fedlite knows no such field of this system"]
    assert found[0].place.line == (1 if system == "argo" else 2)


def test_what_an_aws_job_comes_to(imported):
    plan = completed(imported("aws", AWS).plan)
    rate = plan.strategy.paced
    assert (rate.base_per_minute, rate.factor, rate.most_per_minute) == (50, 1.5, 1000)
    assert (rate.increase.succeeded, rate.increase.notified) == (1000, None)
    gate = plan.gates[0]
    assert (gate.method, gate.metric, gate.threshold, gate.min_executed) == ("threshold", "install_failure", 0.07, 100)
    assert gate.on_fail == "abort"
    assert (plan.download.in_progress_s, plan.download.retries, plan.description) == (5400.0, 2, "Firmware 7")
    assert plan.download.timeout_s is None


def test_what_aws_holds_and_a_plan_does_not_is_listed(imported):
    criteria = AWS["abortConfig"]["criteriaList"]
    job = {
        **AWS,
        "targets": ["arn:x"],
        "abortConfig": {
            "criteriaList": [
                {**criteria[0], "failureType": "TIMED_OUT"},
                {**criteria[0], "failureType": "ALL"},
            ]
        },
        "schedulingConfig": {
            "startTime": "2026-03-02 08:00",
            "maintenanceWindows": [{"startTime": "cron(0 0 * * ? *)"}],
        },
    }
    read = imported("aws", job)
    told = {one.key: one.why for one in read.left}
    assert told["targets"] == "which devices are meant is the plan's 'fleet'"
    assert told["abortConfig.criteriaList.0"] == "no metric of a gate counts TIMED_OUT executions"
    assert told["abortConfig.criteriaList.1.failureType"] == "FAILED is counted; REJECTED and TIMED_OUT are not"
    assert told["schedulingConfig.startTime"] == "a rehearsal begins at 'fleet.start'"
    assert "cron" in told["schedulingConfig.maintenanceWindows"]
    assert [gate["name"] for gate in read.plan["gates"]] == ["abort-2"]


def test_hawkbits_percentages_are_of_who_is_left(imported):
    waves = imported("hawkbit", GROUPS).plan["strategy"]["waves"]
    assert waves == [
        {"percent": "10 %"},
        {"percent": "45 %", "installed": "60 %"},
        {"rest": True, "installed": "90 %", "approval": True},
    ]
    assert completed(imported("hawkbit", GROUPS).plan).gates[0].threshold == 0.125
    # hawkBit's own default where nothing is told, and no gate that nobody asked for.
    bare = imported("hawkbit", {"name": "r", "amountGroups": 2}).plan
    assert bare["strategy"]["waves"] == [{"percent": "50 %"}, {"rest": True, "installed": "50 %"}]
    assert "gates" not in bare


def test_menders_phases_keep_their_distance(imported):
    waves = imported("mender", MENDER).plan["strategy"]["waves"]
    assert waves == [{"percent": "5 %"}, {"percent": "15 %", "start": "36.5 h"}, {"rest": True, "start": "3 d"}]


def test_argos_weights_pauses_and_templates(imported):
    plan = completed(imported("argo", ARGO).plan)
    first, second, third = plan.steps
    assert (first.weight, first.hold_s, first.gates, first.waits) == (0.2, 5400.0, ("installs",), True)
    assert (second.weight, second.hold_s, third.weight) == (0.6, 86400.0, 1.0)
    installs, crashes = plan.gates
    assert (installs.failure_limit, installs.threshold, installs.every_s) == (2, 0.05, None)
    assert (crashes.every_s, crashes.from_step, crashes.on_fail) == (300.0, 2, "rollback")


def test_a_rollout_that_ends_below_all_goes_on_to_all(imported):
    read = imported("argo", changed(ROLLOUT, "spec", "strategy", "canary", value={"steps": [{"setWeight": 40}]}))
    assert read.plan["strategy"]["steps"] == [{"setWeight": "40 %"}, {"setWeight": "100 %"}]
    assert any("'setWeight: 100 %' is added" in one.why for one in read.left)


def test_what_argo_asks_of_servers_is_left_open_and_listed(imported):
    document = changed(ARGO, "items", 1, "spec", "metrics", 0, "name", value="success-rate")
    document = changed(document, "items", 1, "spec", "metrics", 0, "successCondition", value="result[0] >= 0.95")
    document = changed(document, "items", 1, "spec", "metrics", 0, "provider", value={"prometheus": {"query": "up"}})
    document = changed(document, "items", 0, "spec", "replicas", value=5)
    read = imported("argo", document)
    gate = read.plan["gates"][0]
    assert (gate["metric"], gate["threshold"]) == ("TODO", "5 %")
    told = {one.key: one.why for one in read.left}
    assert told["items.0.spec.replicas"] == "it is about servers of a cluster"
    assert "tell the metric themselves" in told["items.1.spec.metrics.0.provider"]
    assert "share of successes" in told["items.1.spec.metrics.0.successCondition"]
    # A template that is in another file leaves the whole gate open.
    alone = imported("argo", ROLLOUT)
    assert [(one["metric"], one["threshold"]) for one in alone.plan["gates"]] == [("TODO", "TODO")] * 2
    with pytest.raises(InvalidFileError) as error:
        completed(alone.plan)
    assert [one.key for one in error.value.problems] == [
        f"gates.{i}.{key}" for i in (0, 1) for key in ("metric", "threshold")
    ]


RANGES = [
    ("aws", (AWS, "jobExecutionsRolloutConfig", "maximumPerMinute"), 1001, "a whole number from 1 to 1000"),
    (
        "aws",
        (AWS, "jobExecutionsRolloutConfig", "exponentialRate", "incrementFactor"),
        6,
        "a number from 1.1 to 5",
    ),
    (
        "aws",
        (AWS, "jobExecutionsRolloutConfig", "exponentialRate", "baseRatePerMinute"),
        0,
        "a whole number from 1 to 1000",
    ),
    ("aws", (AWS, "abortConfig", "criteriaList", 0, "thresholdPercentage"), 101, "a number from 0 to 100"),
    (
        "aws",
        (AWS, "abortConfig", "criteriaList", 0, "failureType"),
        "BROKEN",
        "one of FAILED, REJECTED, TIMED_OUT, ALL",
    ),
    ("aws", (AWS, "timeoutConfig", "inProgressTimeoutInMinutes"), 20000, "a whole number from 1 to 10080"),
    ("aws", (AWS, "jobExecutionsRetryConfig", "criteriaList", 0, "numberOfRetries"), 11, "a whole number from 0 to 10"),
    ("aws", (AWS, "abortConfig", "criteriaList"), 5, "a list"),
    ("hawkbit", (HAWKBIT, "successCondition", "expression"), "150", "a percentage as text"),
    ("hawkbit", (HAWKBIT, "errorCondition", "condition"), "ABSOLUTE", "one of THRESHOLD"),
    ("hawkbit", (HAWKBIT, "amountGroups"), 0, "a whole number from 1 to 200"),
    ("hawkbit", (GROUPS, "groups", 1, "targetPercentage"), 120, "a number from 0 to 100"),
    ("mender", (MENDER, "phases", 0, "batch_size"), 0, "a whole number from 1 to 100"),
    ("mender", (MENDER, "phases", 1, "start_ts"), "tomorrow", "a time"),
    ("argo", (ROLLOUT, "spec", "strategy", "canary", "steps", 0, "setWeight"), 120, "a whole number from 0 to 100"),
    ("argo", (ROLLOUT, "spec", "strategy", "canary", "steps", 1, "pause", "duration"), "soon", "a duration"),
]


@pytest.mark.parametrize(("system", "place", "value", "expected"), RANGES)
def test_what_the_other_system_would_refuse_is_refused_with_its_place(imported, system, place, value, expected):
    document, *path = place
    with pytest.raises(InvalidFileError) as error:
        imported(system, changed(document, *path, value=value))
    (problem,) = error.value.problems
    assert problem.key == ".".join(map(str, path))
    assert problem.line > 1
    assert problem.message == f"got {value!r}, expected {expected}"
    assert problem.remedy


def test_a_hawkbit_group_that_goes_on_at_once_does_so_both_ways(imported):
    at_once = changed(HAWKBIT, "successCondition", "expression", value="0")
    read = imported("hawkbit", at_once)
    assert read.plan["strategy"]["waves"][1:] == [
        {"percent": "33.33333333 %", "after": "0 s"},
        {"rest": True, "after": "0 s"},
    ]
    assert export(completed(read.plan), "hawkbit")[0] == at_once
    with pytest.raises(InvalidFileError, match="groups: got no group, expected at least one"):
        imported("hawkbit", {**GROUPS, "groups": []})


def test_an_aws_rate_that_begins_above_its_maximum_is_refused(imported):
    with pytest.raises(InvalidFileError, match="baseRatePerMinute: got 50, more than the maximumPerMinute of 5;"):
        imported("aws", changed(AWS, "jobExecutionsRolloutConfig", "maximumPerMinute", value=5))


@pytest.mark.parametrize("kind", [["AnalysisTemplate"], {}, None, "AnalysisTemplate"])
def test_a_template_that_tells_no_metric_leaves_its_gate_open(imported, kind):
    document = changed(ARGO, "items", 1, value={"kind": kind, "metadata": {"name": "installs"}})
    gate = imported("argo", document).plan["gates"][0]
    assert (gate["name"], gate["metric"], gate["threshold"]) == ("installs", "TODO", "TODO")


def test_phases_that_cannot_be_placed_in_time_are_refused(imported):
    phases = [{"batch_size": 60}, {"batch_size": 60, "start_ts": "2026-03-03T08:00:00Z"}]
    with pytest.raises(InvalidFileError) as error:
        imported("mender", {**MENDER, "phases": phases})
    assert [one.message for one in error.value.problems] == [
        "got nothing, so how long after the first phase this one begins is not known",
        "got phases of 120 % up to here",
    ]


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 1, "a": 2}', "{"])
def test_a_file_that_is_no_document_is_refused(imported, text):
    with pytest.raises(InvalidFileError):
        imported("aws", AWS, text or "\n")


def test_json_may_be_indented_with_tabs(imported):
    read = imported("aws", AWS, json.dumps(AWS, indent="\t"))
    assert read.plan["strategy"]["rate"]["maximumPerMinute"] == 1000


def test_an_unsafe_yaml_of_argo_is_refused(imported):
    with pytest.raises(InvalidFileError, match="the tag"):
        imported("argo", ARGO, "kind: !!python/object/apply:os.system ['true']\n")


def test_every_system_says_what_it_cannot_express(plans):
    plan = plans.read(
        "audience: {opt_out: 5 %}\ndownload: {window: [22 h, 6 h]}\n",
        gate="{name: installs, metric: accuracy, method: msprt, control: 5 %, on_fail: pause}",
        strategy="strategy: {preset: apple-phased, approval: 2 h}\n",
    )
    for name in SYSTEMS:
        left = {one.key: one.why for one in export(plan, name)[1]}
        assert {"fleet", "model", "audience", "download.window", "strategy.approval", "gates.0"} <= set(left), name
        assert all(left.values())
    assert "in steps or waves" in {one.key: one.why for one in export(plan, "aws")[1]}["strategy"]


def test_what_does_not_fit_the_other_systems_numbers_is_listed_with_what_is_written(plans):
    plan = plans.read("download: {retries: 40, timeout: 90 s, in_progress: 90 s}\n", strategy="strategy:\n  steps:\n    - setWeight: 0.4 %\n    - pause: {duration: 1 h}\n    - setWeight: 100 %\n", gate="{name: installs, metric: install_failure, method: threshold, threshold: 1.234 %, every: 1 h}")  # fmt: skip  # noqa: E501
    document, left = export(plan, "aws")
    assert document["jobExecutionsRetryConfig"]["criteriaList"][0]["numberOfRetries"] == 10
    assert document["abortConfig"]["criteriaList"][0]["thresholdPercentage"] == 1.23
    assert document["timeoutConfig"] == {"inProgressTimeoutInMinutes": 2}
    assert {"download.retries", "download.timeout", "download.in_progress", "gates.0.threshold"} <= {
        one.key for one in left
    }
    mender, left = export(plan, "mender", START)
    assert mender["phases"] == [
        {"batch_size": 1, "start_ts": "2026-03-02T08:00:00Z"},
        {"start_ts": "2026-03-02T09:00:00Z"},
    ]
    assert any("0.4 is written as 1" in one.why for one in left)
    argo, left = export(plan, "argo")
    assert argo["items"][0]["spec"]["strategy"]["canary"]["steps"][0] == {"setWeight": 1}
    assert any("so 1 is written" in one.why for one in left)


def test_without_a_start_menders_times_are_listed_not_invented(plans):
    document, left = export(_timed(plans), "mender")
    assert document["phases"] == [{"batch_size": 20}, {}]
    assert any("begins 1 d after the start, which was not told (--start)" in one.why for one in left)


def _timed(plans):
    return plans.read(strategy="strategy: {waves: [{percent: 20 %}, {rest: true, after: 1 d}]}\n", gates="")


def test_presets_can_be_exported(plans):
    plan = plans.read(strategy="strategy: {preset: hawkbit-groups}\n", gates="")
    document, _ = export(plan, "hawkbit")
    assert document["amountGroups"] == 5
    assert document["successCondition"] == {"condition": "THRESHOLD", "expression": "50"}
    aws, _ = export(plans.read(strategy="strategy: {preset: aws-exponential}\n", gates=""), "aws")
    assert aws["jobExecutionsRolloutConfig"]["exponentialRate"]["incrementFactor"] == 2.0
    apple, _ = export(plans.read(strategy="strategy: {preset: apple-phased}\n", gates=""), "argo")
    weights = [step["setWeight"] for step in apple["spec"]["strategy"]["canary"]["steps"] if "setWeight" in step]
    assert weights == [1, 2, 5, 10, 20, 50, 100]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600.0), ("1h30m", 5400.0), (45, 45.0), ("45", 45.0), ("500ms", 0.5), ("24h", 86400.0)],
)
def test_durations_are_read_and_written(text, seconds):
    assert as_seconds(text) == seconds
    assert as_seconds(as_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["soon", "", "10 m", 0, -5, True, "5d", None])
def test_what_is_no_duration_is_none(text):
    assert as_seconds(text) is None


def test_an_unknown_system_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(FedliteError, match="got the system 'balena', expected one of aws, hawkbit, mender, argo"):
        load(path, "balena")


@pytest.mark.parametrize("value", [{}, "now", [], 7])
@pytest.mark.parametrize("key", ["schedulingConfig", "timeoutConfig", "tags"])
def test_a_known_field_of_another_kind_is_listed_and_never_dropped(imported, key, value):
    left = imported("aws", {**AWS, key: value}).left
    assert key in {one.key for one in left}
