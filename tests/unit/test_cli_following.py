"""Where no terminal is, lines say how far it is; to programs, and with --quiet, nothing does."""

import json
import time

import pytest
from typer.testing import CliRunner

from fedlite.cli import following
from fedlite.cli.following import Lines, patience, shown
from fedlite.cli.main import app
from fedlite.compose.progress import Progress
from fedlite.devices.measurements import REQUIRED

TINY = """
name: tiny
fleet: {devices: 4, mix: {pi-4b: 100 %}}
task: {data: digits, partition: iid, model: mlp}
training: {strategy: fedavg, rounds: 3, clients_per_round: 2}
"""


def lines(times):
    return Lines(iter(times).__next__)


def test_a_line_comes_every_ten_seconds_and_says_how_long_it_will_take(capsys):
    said = lines([0, 1, 4, 12, 13, 21.9, 22])
    for done in range(6):
        said.say("rounds", done, 30, f"state {done}")
    # 2 rounds in 11 seconds, 28 to go; 5 rounds in 21, 25 to go.
    assert capsys.readouterr().err.splitlines() == [
        "rounds 2 of 30 · state 2 · 2.57 min to go",
        "rounds 5 of 30 · state 5 · 1.75 min to go",
    ]


def test_what_was_done_before_a_resume_tells_nothing_of_the_speed(capsys):
    said = lines([0, 1, 21])
    said.say("rounds", 50, 100)
    said.say("rounds", 60, 100)
    assert capsys.readouterr().err == "rounds 60 of 100 · 1.33 min to go\n"


def test_of_unknown_length_there_is_no_end_to_tell(capsys):
    said = lines([0, 1, 21])
    said.say("rounds", 1, 0)
    said.say("rounds", 5, 0)
    assert capsys.readouterr().err == "rounds 5\n"


def test_a_run_without_a_terminal_says_round_metric_clock_and_energy(capsys, monkeypatch):
    monkeypatch.setattr(following, "EVERY_S", 0.0)

    def work(say):
        say(Progress(0, 2, 0.0, "accuracy", float("nan"), 0.0, doing="backend: local"))
        say(Progress(1, 2, 7200.0, "accuracy", 0.5, 12.0, is_share=True))
        say(Progress(1, 2, 7200.0, "rmse", 0.5, 12.0))
        say(Progress(1, 2, 7200.0, "accuracy", float("nan"), 12.0, trains=False))

    shown(False, work)
    assert capsys.readouterr().err.splitlines() == [
        "backend: local",
        "rounds 1 of 2 · accuracy 50.0 % · virtual 2 h · 12 J",
        "rounds 1 of 2 · rmse 0.500 · virtual 2 h · 12 J",
        "rounds of queries 1 of 2 · nothing trained · virtual 2 h · 12 J",
    ]


def test_a_long_computation_says_that_it_goes_on_and_a_short_one_nothing(capsys, monkeypatch):
    with patience("computing"):
        pass
    assert not capsys.readouterr().err
    monkeypatch.setattr(following, "EVERY_S", 0.01)
    with patience("computing"):
        time.sleep(0.2)
    assert capsys.readouterr().err.startswith("computing: 0 s so far\n")


@pytest.mark.parametrize(("content", "wanted"), [("", "file: empty"), ("header", "file: a header and no row")])
def test_a_file_without_measurements_is_refused(tmp_path, content, wanted):
    path = tmp_path / "points.csv"
    path.write_text(content and ",".join(REQUIRED) + "\n")
    found = CliRunner().invoke(app, ["devices", "validate", str(path)])
    assert wanted in str(found.exception)


@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_says_nothing_of_how_far_it_is(tmp_path, monkeypatch, quiet):
    monkeypatch.setattr(following, "EVERY_S", 0.0)
    (tmp_path / "tiny.yaml").write_text(TINY)
    options = ["--backend", "local", "--out", str(tmp_path / "run"), *(["--quiet"] if quiet else [])]
    found = CliRunner().invoke(app, ["run", str(tmp_path / "tiny.yaml"), *options])
    assert found.exit_code == 0, found.output
    assert ("rounds 2 of 3" in found.stderr) is not quiet
    assert "rounds 2 of 3" not in found.stdout
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["rounds"] == 3
