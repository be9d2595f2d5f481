"""`fedlite rollout import` and `export`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fedlite.cli.rollout import rollout_app
from fedlite.cli.validate import check, kind_of
from fedlite.errors import FedliteError, InvalidFileError
from fedlite.scenario.loader import open_document
from fedlite.scenario.rollout.loading import load_rollout

JOB = {"jobId": "fw-7", "jobExecutionsRolloutConfig": {"maximumPerMinute": 100}, "targets": ["a"], "odd": 1}


def run(*arguments):
    return CliRunner().invoke(rollout_app, [str(argument) for argument in arguments])


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(JOB))
    return path


def test_an_import_writes_a_plan_whose_stubs_validate_names(job, tmp_path):
    out = tmp_path / "new" / "plan.yaml"
    told = run("import", job, "--from", "aws", "--out", out)
    assert told.exit_code == 0
    assert told.stdout.startswith(f"Written: {out}\nOf {job} were not carried over:\n")
    column = json.dumps(JOB).index('["a"]') + 1
    assert f"{job}:1:{column}: targets: which devices are meant is the plan's 'fleet'" in told.stdout
    assert "odd: fedlite knows no such field of this system" in told.stdout
    document = open_document(out)
    assert kind_of(document) == "rollout"
    with pytest.raises(InvalidFileError) as error:
        check(out, "rollout", document)
    assert [(one.key, "got the stub TODO" in one.message) for one in error.value.problems] == [
        ("fleet", True),
        ("model", True),
    ]
    text = out.read_text()
    assert "# Which devices there are: a scenario's" in text
    assert "\nfleet: TODO\n" in text


def test_with_a_fleet_only_the_model_is_open(job, tmp_path):
    (tmp_path / "fleet.yaml").write_text("name: f\nfleet: {devices: 70, mix: iot-gateway}\n")
    out = tmp_path / "plan.yaml"
    assert run("import", job, "--from", "aws", "--fleet", tmp_path / "fleet.yaml", "--out", out).exit_code == 0
    assert "fleet: {scenario: fleet.yaml}" in out.read_text()
    with pytest.raises(InvalidFileError) as error:
        load_rollout(out)
    assert [one.key for one in error.value.problems] == ["model"]
    out.write_text(
        out.read_text().replace(
            "model: TODO", "model: {variants: [{name: a, bytes: 1 MB, memory: 1 MiB, macs: 1e6, accuracy: 70 %}]}"
        )
    )
    assert load_rollout(out).fleet.devices == 70


def test_without_out_the_plan_alone_is_on_the_standard_output(job):
    told = run("import", job, "--from", "aws")
    assert told.stdout.startswith("# A rollout plan read from a file of AWS IoT Jobs.")
    assert "not carried over" not in told.stdout
    assert "not carried over" in told.stderr


def test_an_import_answers_programs(job):
    record = json.loads(run("import", job, "--from", "aws", "--json").stdout)
    assert {one["key"] for one in record["left"]} >= {"targets", "odd"}
    assert "fleet: TODO" in record["plan"]


def test_a_mistake_in_the_fleet_is_told_before_anything_is_written(job, tmp_path):
    out = tmp_path / "plan.yaml"
    told = run("import", job, "--from", "aws", "--fleet", tmp_path / "gone.yaml", "--out", out)
    assert isinstance(told.exception, InvalidFileError)
    assert not out.exists()


def test_an_export_writes_the_document_and_lists_the_rest(plans, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(plans.text)
    out = tmp_path / "deployment.json"
    told = run("export", plan, "--to", "mender", "--start", "2026-03-02T08:00:00Z", "--out", out)
    assert told.exit_code == 0
    assert json.loads(out.read_text())["phases"][1] == {"start_ts": "2026-03-03T08:00:00Z"}
    assert "Mender cannot express:\n  gates: as written nothing stops it\n" in told.stdout
    printed = run("export", plan, "--to", "argo")
    assert printed.stdout.startswith("apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n")
    assert json.loads(run("export", plan, "--to", "aws", "--json").stdout)["document"]["jobId"] == "small"


def test_a_start_that_is_no_time_is_refused(plans, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(plans.text)
    told = run("export", plan, "--to", "mender", "--start", "soon")
    assert isinstance(told.exception, FedliteError)
    assert str(told.exception).startswith("--start: got 'soon', expected a time; write for example")
