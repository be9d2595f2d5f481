"""Results in the tools of the house: a study opened again, tables as CSV and as pandas."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

import fedlite
from fedlite.cli.report import compare, report
from fedlite.compose.finished import Run
from fedlite.compose.finished_study import Sweep
from fedlite.errors import FedliteError, UnknownNameError

BASE = """
name: tiny
seed: 11
fleet: {devices: 4, mix: {pi-4b: 1}}
task: {data: digits, clients: 4, model: {name: mlp, options: {hidden: [4]}}}
training: {rounds: 1, clients_per_round: 2, local: {lr: 0.1}}
"""
STUDY = """
name: codecs
base: base.yaml
list: [{label: whole, wire.up: fp32}, {label: "eight, bits", wire.up: int8}, {label: none, fleet.budgets.memory: 1 kB}]
seeds: [1, 2]
axes: [energy_j, accuracy]
"""
app = typer.Typer()
app.command("report")(report)
app.command("compare")(compare)  # with one command typer would take its name for an argument


def invoke(*arguments):
    return CliRunner().invoke(app, [str(item) for item in arguments])


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "base.yaml").write_text(BASE)
    (folder / "study.yaml").write_text(STUDY)
    return fedlite.sweep(folder / "study.yaml", out=folder / "out", settings=fedlite.Settings("local"))


def test_a_study_is_opened_again_with_all_that_its_sweep_told(swept):
    study = fedlite.load_study(str(swept.path))
    assert study.summary == {**swept.summary, "reran": 0}
    assert (study.name, study.axes, study.failed) == ("codecs", ("energy_j", "accuracy"), swept.failed)
    assert [run.summary["digest"] for run in study.runs] == [run.summary["digest"] for run in swept.runs]
    assert {name: len(frame) for name, frame in study.tables.items()} == {"settings": 2, "runs": 4, "pairs": 1}
    assert study.settings.equals(swept.settings)
    assert study.tables["runs"].columns[:3] == ["label", "seed", "run"]
    pair = study.pairs.row(0, named=True)
    assert {**pair} == swept.summary["pairs"][0]


def test_a_study_under_way_has_what_is_finished(swept, tmp_path):
    manifest = json.loads((swept.path / "study.json").read_text())
    first, second = (swept.path / row["directory"] for row in manifest["runs"][:2])
    for run in (first, second):
        (tmp_path / run.name).symlink_to(run)
    # Stopped between the end of the second run and the next list of runs; from a version without axes in it.
    manifest["runs"][1]["state"] = "interrupted"
    manifest["runs"] = manifest["runs"][:3]
    del manifest["axes"]
    (tmp_path / "study.json").write_text(json.dumps(manifest))
    study = fedlite.load_study(tmp_path)
    assert [(run.label, run.seed) for run in study.finished] == [("whole", 1), ("whole", 2)]
    assert study.pairs.is_empty()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "got no study.json"),
        ("{", "study.json: damaged"),
        ('{"format": 1, "name": "a", "runs": [{}]}', "damaged: KeyError"),
        ('{"format": 99, "name": "a", "runs": []}', "got format 99, expected 1"),
    ],
)
def test_what_is_no_study_is_told(tmp_path, text, said):
    if text is not None:
        (tmp_path / "study.json").write_text(text)
    with pytest.raises(FedliteError, match=said):
        fedlite.load_study(tmp_path)


def test_a_list_of_runs_leads_nowhere_else(swept, tmp_path):
    manifest = json.loads((swept.path / "study.json").read_text())
    manifest["runs"][0]["directory"] = (
        f"../{swept.path.parent.name}/{swept.path.name}/{manifest['runs'][0]['directory']}"
    )
    (tmp_path / "study.json").write_text(json.dumps(manifest))
    assert fedlite.load_study(tmp_path).finished == ()


def test_every_table_of_a_run_is_a_csv_file_with_the_same_values(swept, tmp_path):
    run = swept.runs[0]
    files = run.write_csv(tmp_path / "a" / "b")
    assert [file.name for file in files] == ["rounds.csv", "clients.csv", "evaluation.csv", "fleet.csv"]
    for file in files:
        frame = run.tables[file.stem]
        assert pl.read_csv(file, schema=frame.schema).equals(frame, null_equal=True), file.name
    assert run.write_csv(tmp_path / "a" / "b") == files
    (tmp_path / "file").write_text("")
    with pytest.raises(FedliteError, match=r"rounds\.csv: got .* while writing, expected a folder"):
        run.write_csv(tmp_path / "file")


def test_the_command_line_writes_csv_of_a_run_and_of_a_study(swept, tmp_path):
    told = invoke("report", swept.runs[0].path, "--csv", tmp_path / "run")
    assert f"{tmp_path / 'run'}: rounds.csv, clients.csv, evaluation.csv, fleet.csv" in told.output.replace("\n", "")
    page = tmp_path / "page.html"
    found = json.loads(invoke("report", swept.path, "--csv", tmp_path / "study", "--out", page, "--json").output)
    assert found["files"] == [str(tmp_path / "study" / f"{name}.csv") for name in ("settings", "runs", "pairs")]
    assert found["page"] == str(page)
    assert page.read_text().count("eight, bits") > 2
    assert pl.read_csv(tmp_path / "study" / "settings.csv")["label"].to_list() == ["whole", "eight, bits"]
    told = invoke("report", swept.path)
    assert "failed: none, seed 1" in told.output
    assert told.exit_code == 0


@pytest.mark.figures
def test_the_command_line_writes_figures_of_a_run_and_of_a_study(swept, tmp_path, monkeypatch):
    for kind, name in ((Run, "fairness"), (Sweep, "fronts")):
        few = {name: (swept.runs[0] if kind is Run else swept).figures[name]}
        monkeypatch.setattr(kind, "figures", few)
    told = invoke("report", swept.runs[0].path, "--figures", tmp_path / "run", "--format", "pdf", "--width", "170")
    names = ["fairness-every-client.pdf", "fairness-by-device-class.pdf"]
    assert f"{tmp_path / 'run'}: {', '.join(names)}" in told.output.replace("\n", "")
    found = json.loads(invoke("report", swept.path, "--figures", tmp_path / "study", "--json").output)
    assert {Path(file).name for file in found["files"]} >= {"fronts-as-asked.svg", "fronts-energy.svg"}
    assert all(Path(file).is_file() for file in found["files"])


def test_without_pandas_the_extra_is_named(swept, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FedliteError, match=r"pip install 'fedlite\[pandas\]'"):
        swept.to_pandas("settings")
    with pytest.raises(UnknownNameError, match="expected one of pairs, runs, settings"):
        swept.to_pandas("setting")


@pytest.mark.pandas
def test_pandas_has_the_same_table(swept):
    frame = swept.runs[0].to_pandas("clients")
    assert list(frame.columns) == swept.runs[0].clients.columns
    assert frame["energy_j"].sum() == pytest.approx(swept.runs[0].clients["energy_j"].sum())
    assert list(swept.to_pandas("settings")["label"]) == ["whole", "eight, bits"]
