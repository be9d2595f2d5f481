"""A run tells in its directory how far it is, and another process can follow it to its end."""

import math

import pytest
from typer.testing import CliRunner

from fedlite.cli import following, watch
from fedlite.cli.main import app
from fedlite.compose.progress import Progress, noted, read_progress
from fedlite.errors import FedliteError
from fedlite.results.directory import PROGRESS, RunDirectory
from fedlite.runner import Settings, run
from fedlite.scenario.loader import parse_scenario

TINY = """
name: tiny
fleet: {devices: 4, mix: {pi-4b: 100 %}}
task: {data: digits, partition: iid, model: mlp}
training: {strategy: fedavg, rounds: 2, clients_per_round: 2}
"""


def watched(path):
    return CliRunner().invoke(app, ["watch", str(path)])


def test_every_progress_is_in_the_directory_while_the_run_lasts(tmp_path):
    seen = []

    def look(now):
        directory = RunDirectory(tmp_path / "run")
        assert repr(read_progress(directory)) == repr(now)
        assert directory.is_held
        seen.append(now.round_)

    run(parse_scenario(TINY), out=tmp_path / "run", settings=Settings("local"), progress=look)
    assert seen == [0, 1, 2]
    assert not RunDirectory(tmp_path / "run").is_held
    assert not (tmp_path / "run" / PROGRESS).exists()
    found = watched(tmp_path / "run")
    assert found.exit_code == 0, found.output
    assert "accuracy" in found.output


def test_a_study_is_told_which_of_its_runs_can_be_watched(tmp_path):
    for name in ("a-seed-1", "b-seed-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "scenario.yaml").write_text("")
    (tmp_path / "study.json").write_text("{}")
    (tmp_path / "a-seed-1" / PROGRESS).write_text("{}")
    found = watched(tmp_path)
    assert f"which is a study of several runs; watch one of them, such as {tmp_path / 'a-seed-1'}" in str(
        found.exception
    )


def test_a_run_under_way_is_followed_until_there_is_a_summary(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(watch, "LOOK_S", 0.0)
    monkeypatch.setattr(following, "EVERY_S", 0.0)
    directory, left = RunDirectory(tmp_path), [1, 2, 3]
    note = noted(directory, [])

    def look(_):
        number = left.pop(0)
        note(Progress(number, 3, 60.0 * number, "accuracy", math.nan, 1.0))
        if not left:
            directory.write_json("summary.json", {})

    monkeypatch.setattr(watch.time, "sleep", look)
    with directory.held():
        following.shown(False, lambda say: watch._followed(directory, say))
    lines = [line.partition(" · ")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["rounds 1 of 3", "rounds 2 of 3"]


def test_where_nobody_is_at_work_it_says_how_to_go_on(tmp_path):
    (tmp_path / "scenario.yaml").write_text(TINY)
    with pytest.raises(FedliteError, match=f"no process is at work; continue it with --resume {tmp_path}"):
        raise watched(tmp_path).exception
    with pytest.raises(FedliteError, match="expected the directory of a run"):
        raise watched(tmp_path / "nothing").exception
