"""A study compares what devices get, and tells when the target was reached."""

from __future__ import annotations

import json

import pytest

from fedlite.report.run_data import read_run
from fedlite.report.shipped import shipped_metric
from fedlite.report.study_data import read_study
from fedlite.report.study_tables import settings_table


def altered(path, *, delivered=None, to_target=None):
    place = path / "summary.json"
    told = json.loads(place.read_text())
    if delivered is not None:
        told["delivered"] = delivered
    if to_target is not None:
        told["metrics"]["time_to_target_s"] = to_target[0]
    place.write_text(json.dumps(told))
    return path


def of(profile, accuracy):
    return {"plan": "p", "profiles": [profile], "stored_bytes": 9, "metrics": {"accuracy": accuracy}, "facts": {}}


def test_the_metric_of_a_run_is_the_mean_over_the_devices_of_what_they_get(write_run):
    run = read_run(write_run())
    taking_part = run.fleet.filter(run.fleet["excluded_reason"] == "")
    profile, devices = taking_part["profile"][0], taking_part["devices"][0]
    share = devices / taking_part["devices"].sum()
    trained = run.summary["metrics"]["accuracy"]
    assert 0 < share < 1
    assert shipped_metric(run) == trained
    other = read_run(altered(run.path, delivered=[of(profile, 0.1)]))
    assert shipped_metric(other) == pytest.approx(share * 0.1 + (1 - share) * trained)


def test_a_class_that_cannot_take_part_does_not_count(write_run):
    run = read_run(write_run())
    out = run.fleet.filter(run.fleet["excluded_reason"] != "")["profile"][0]
    assert shipped_metric(read_run(altered(run.path, delivered=[of(out, 0.0)]))) == run.summary["metrics"]["accuracy"]


def test_a_study_judges_by_what_devices_get(write_run):
    plain = write_run("plain", seed=1)
    every = read_run(plain).fleet["profile"].to_list()
    worse = altered(write_run("worse", seed=1), delivered=[of(profile, 0.25) for profile in every])
    study = read_study([("plain", 1, plain), ("worse", 1, worse)])
    assert study.settings["accuracy"].to_list() == pytest.approx([read_run(plain).summary["metrics"]["accuracy"], 0.25])


def test_a_study_tells_the_time_to_the_target_or_in_how_many_seeds_it_was_reached(write_run):
    paths = [
        ("sure", 1, altered(write_run("a", seed=1), to_target=[60.0])),
        ("sure", 2, altered(write_run("b", seed=2), to_target=[180.0])),
        ("luck", 1, altered(write_run("c", seed=1), to_target=[90.0])),
        ("luck", 2, altered(write_run("d", seed=2), to_target=[None])),
    ]
    study = read_study(paths)
    told = {row["label"]: (row["reached"], row["time_to_target_s"]) for row in study.settings.to_dicts()}
    assert told == {"sure": (2, 120.0), "luck": (1, None)}
    shown = settings_table(study)
    column = shown.head.index("To the target")
    assert {row[0]: row[column] for row in shown.rows} == {"sure": "2\N{NO-BREAK SPACE}min", "luck": "1 of 2 seeds"}


def test_a_study_without_a_target_has_no_such_column(write_run):
    study = read_study([("a", 1, write_run("a")), ("b", 1, write_run("b"))])
    assert study.settings["reached"].to_list() == [None, None]
    assert "To the target" not in settings_table(study).head
