"""What the command line makes of users' mistakes: one message that helps, the right exit code, nothing half-done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fedlite.cli import main as command_line
from fedlite.errors import FedliteError
from fedlite.results.directory import RunDirectory
from fedlite.runner import Settings, resume, run
from fedlite.scenario.loader import parse_scenario

TINY = """
name: tiny
seed: 3
fleet: {devices: 6, mix: {pixel-8: 1}}
task: {data: digits, model: mlp}
training: {rounds: 2, clients_per_round: 3}
"""
LOCAL = Settings("local")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    return tmp_path


@pytest.fixture
def fedlite(tiny, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fedlite", *arguments])
        with pytest.raises(SystemExit) as left:
            command_line.main()
        told = capsys.readouterr()
        return left.value.code, told.out + told.err

    return call


MISTAKES = {
    "task.data=os:system": "expected a function that needs no argument",
    "task.model={name: mlp, options: {hidden: [0]}}": "hidden sizes must be 1 or more",
    "task.model={name: mlp, options: {hidden: [99999999999]}}": "which it refuses",
    "task.model={name: mlp, options: {num_classes: 3}}": "tells already; remove it",
    "task.model=builtins:dict": "expected a function of (input_shape, num_classes)",
    "task.model=operator:is_": "got bool from the factory, expected a torch.nn.Module",
    "training.strategy=os:getcwd": "expected a Flower Strategy",
    "training.strategy={name: 'os:getcwd', options: {path: x}}": "refuses the options",
    "training.local.lr=1e300": "expected 1000000.0 or less",
    "privacy={mechanism: server-adaptive-clipping, noise_multiplier: 1}": "raise clipped_count_stddev",
    "fleet.availability={kind: trace, file: tiny.yaml}": "expected 'device,start_s,end_s,state'",
    "fleet.budgets.memory=1 KiB": "no device class that can take part",
}


@pytest.mark.parametrize("change", MISTAKES)
def test_a_mistake_is_told_before_anything_is_written(fedlite, tiny, change):
    code, told = fedlite("run", "tiny.yaml", "--backend", "local", "--out", "out", "--set", change)
    assert code == 2
    assert MISTAKES[change] in told
    assert not (tiny / "out").exists()


def test_an_unknown_backend_is_told_before_a_directory_is_made(fedlite, tiny):
    code, told = fedlite("run", "tiny.yaml", "--backend", "spark")
    assert (code, told.strip()) == (2, "backend: got 'spark', expected one of auto, local, ray")
    assert not (tiny / "runs").exists()


def test_an_address_without_ray_is_refused(fedlite):
    code, told = fedlite("run", "tiny.yaml", "--backend", "local", "--ray-address", "127.0.0.1:1")
    assert code == 2
    assert "--ray-address: got '127.0.0.1:1' with backend 'local'" in told


def test_a_run_never_writes_over_a_users_file(fedlite, tiny):
    (tiny / "scenario.yaml").write_text(TINY)
    code, told = fedlite("run", "scenario.yaml", "--backend", "local", "--out", ".")
    assert code == 2
    assert "would write over scenario.yaml; choose another folder" in told
    assert (tiny / "scenario.yaml").read_text() == TINY


def test_a_ray_address_where_nobody_answers_is_told_at_once(fedlite, tiny):
    code, told = fedlite("run", "tiny.yaml", "--ray-address", "127.0.0.1:1")
    assert code == 2
    assert "--ray-address: got '127.0.0.1:1', where nobody answers" in told


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none"])
def test_a_directory_that_cannot_be_made_is_told(fedlite, tiny, place):
    (tiny / "file").write_text("")
    code, told = fedlite("run", "tiny.yaml", "--backend", "local", "--out", place)
    assert code == 2
    assert "which cannot be made" in told


def test_a_file_where_runs_go_is_told(fedlite, tiny):
    (tiny / "runs").write_text("")
    code, told = fedlite("run", "tiny.yaml", "--backend", "local")
    assert (code, "which cannot be made" in told) == (2, True)


def test_a_name_that_is_no_text_is_shown_as_its_code(tiny):
    command = [sys.executable, "-m", "fedlite.cli.main", "validate", b"\xff.yaml"]
    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 2
    assert b"\\udcff.yaml: (file): got no file to read" in done.stdout


def test_a_reader_that_leaves_ends_the_command_quietly(tiny):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "fedlite.cli.main", "devices", "list", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_what_the_file_system_refuses_is_told_without_a_traceback(fedlite, tiny):
    run(parse_scenario(TINY), out=tiny / "run", settings=LOCAL)
    code, told = fedlite("report", "run", "--out", "tiny.yaml/page.html")
    assert code == 2
    assert "tiny.yaml" in told


class StopError(Exception):
    """Stands for whatever ends a process."""


def stop_at_once(progress):
    if progress.round_ == 1:
        raise StopError


def test_an_interrupted_run_is_continued_and_never_begun_again_in_its_directory(tiny):
    whole = run(parse_scenario(TINY), out=tiny / "whole", settings=LOCAL).summary["digest"]
    with pytest.raises(StopError):
        run(parse_scenario(TINY), out=tiny / "cut", settings=LOCAL, progress=stop_at_once)
    with pytest.raises(FedliteError, match="interrupted run; continue it with --resume"):
        run(parse_scenario(TINY), out=tiny / "cut", settings=LOCAL)
    assert resume(tiny / "cut", settings=LOCAL).summary["digest"] == whole


def test_a_scenario_edited_in_the_run_directory_is_refused(tiny):
    with pytest.raises(StopError):
        run(parse_scenario(TINY), out=tiny / "cut", settings=LOCAL, progress=stop_at_once)
    text = (tiny / "cut" / "scenario.yaml").read_text()
    (tiny / "cut" / "scenario.yaml").write_text(text.replace("lr: 0.02", "lr: 0.5"))
    with pytest.raises(FedliteError, match="cut: got the scenario was edited; expected"):
        resume(tiny / "cut", settings=LOCAL)


def test_two_runs_in_one_directory_at_once_are_refused(tiny):
    directory = RunDirectory(tiny / "shared")
    with directory.held(), pytest.raises(FedliteError, match="a second run while another is at work"):
        run(parse_scenario(TINY), out=tiny / "shared", settings=LOCAL)
    assert run(parse_scenario(TINY), out=tiny / "shared", settings=LOCAL).summary["rounds"] == 2


def test_a_run_that_was_stopped_before_its_page_gets_it_when_resumed(tiny):
    done = run(parse_scenario(TINY), out=tiny / "run", settings=LOCAL)
    (done.path / "report.html").unlink()
    assert resume(done.path, settings=LOCAL).summary == done.summary
    assert (done.path / "report.html").stat().st_size > 100_000


def test_a_disk_that_is_full_is_told_with_how_to_go_on(tiny, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(FedliteError, match=r"No space left on device while writing.*continue with --resume"):
        run(parse_scenario(TINY), out=tiny / "run", settings=LOCAL)


def test_control_c_says_how_to_continue(fedlite, tiny, monkeypatch):
    from fedlite.results.rounds import Rounds

    real = Rounds.close

    def close(self, **named):
        if named["round_"] == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, **named)

    monkeypatch.setattr(Rounds, "close", close)
    # Whoever started the tests may have had the signal ignored, as nohup has.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code, told = fedlite("run", "tiny.yaml", "--backend", "local", "--json", "--out", "cut")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (code, told) == (130, "Stopped. Continue with --resume cut\n")
    assert not (tiny / "cut" / "summary.json").exists()


def test_control_c_before_a_run_has_begun_leaves_nothing_to_continue(fedlite, tiny, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "write_text", stop)
    code, told = fedlite("run", "tiny.yaml", "--backend", "local", "--json", "--out", "cut")
    assert (code, told) == (130, "Stopped. Nothing had begun: start it again\n")
    assert not (tiny / "cut").exists()


def test_a_stop_of_which_nobody_noted_anything_is_told(fedlite, tiny, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "refuse_used", stop)
    code, told = fedlite("run", "tiny.yaml", "--backend", "local", "--json", "--out", "cut")
    assert (code, told) == (130, "Stopped.\n")


def test_a_run_that_could_not_begin_does_not_bar_its_directory(tiny):
    with pytest.raises(StopError):
        run(parse_scenario(TINY), out=tiny / "run", settings=LOCAL, progress=stop_at_once)
    (tiny / "run" / "journal.bin").unlink()
    with pytest.raises(FedliteError, match=r"would write over scenario\.yaml"):
        run(parse_scenario(TINY.replace("seed: 3", "seed: 4")), out=tiny / "run", settings=LOCAL)
    assert run(parse_scenario(TINY), out=tiny / "run", settings=LOCAL).summary["rounds"] == 2


@pytest.mark.parametrize("name", ["summary.json", "rounds.parquet", "scenario.yaml"])
def test_a_damaged_run_is_told_by_file_and_never_passed_on(fedlite, tiny, name):
    done = run(parse_scenario(TINY), out=tiny / "run", settings=LOCAL)
    (done.path / name).write_bytes(b"\xbf" * 100)
    for command in (["report", "run"], ["compare", "run", "run"]):
        code, told = fedlite(*command)
        assert (code, f"run/{name}: damaged: not" in told) == (2, True)
        assert ("train the run again with --resume run" in told) == (name != "scenario.yaml")
    code, told = fedlite("run", "--resume", "run", "--json", "--backend", "local")
    if name == "scenario.yaml":
        assert (code, "got no readable scenario.yaml" in told) == (2, True)
    else:
        assert code == 0
        assert fedlite("report", "run")[0] == 0


def test_a_resumed_scenario_that_is_no_text_is_told(fedlite, tiny):
    RunDirectory(tiny / "run").path.joinpath("scenario.yaml").write_bytes(b"\xbf")
    code, told = fedlite("run", "--resume", "run", "--backend", "local")
    assert (code, "got no readable scenario.yaml" in told) == (2, True)


@pytest.mark.parametrize("damage", [b"\xff,0,1,plugged\n", b'"' + b"x" * 200_000 + b'",0,1,plugged\n'])
def test_a_trace_that_is_no_text_is_told(fedlite, tiny, damage):
    (tiny / "trace.csv").write_bytes(b"device,start_s,end_s,state\n" + damage)
    change = "fleet.availability={kind: trace, file: trace.csv}"
    code, told = fedlite("run", "tiny.yaml", "--backend", "local", "--set", change)
    assert (code, "expected UTF-8 text of comma-separated lines" in told) == (2, True)


def test_a_folder_is_no_name_of_a_page(fedlite, tiny):
    run(parse_scenario(TINY), out=tiny / "run", settings=LOCAL)
    code, told = fedlite("compare", "run", "run", "--out", "run")
    assert (code, "which is a folder, expected the name of a page" in told) == (2, True)


def test_a_page_is_written_over_a_page_and_nothing_else(fedlite, tiny):
    run(parse_scenario(TINY), out=tiny / "run", settings=LOCAL)
    (tiny / "plan.yaml").write_text("mine\n")
    for command in (["report", "run"], ["compare", "run", "run"]):
        code, told = fedlite(*command, "--out", "tiny.yaml")
        assert (code, "tiny.yaml: got something that fedlite has not written as a page" in told) == (2, True)
        assert [fedlite(*command, "--out", "page.html")[0] for _ in range(2)] == [0, 0]
    assert (tiny / "tiny.yaml").read_text() == TINY
    # Before anything is computed.
    code, told = fedlite("campaign", "tiny.yaml", "--page", "plan.yaml")
    assert (code, "plan.yaml: got something" in told) == (2, True)


def test_a_run_directory_has_a_name_that_is_text(fedlite):
    code, told = fedlite("run", "tiny.yaml", "--backend", "local", "--out", os.fsdecode(b"\xff"))
    assert (code, "whose name is no UTF-8 text" in told) == (2, True)


def test_an_apps_run_is_not_resumed_as_a_scenario(fedlite, tiny):
    directory = RunDirectory(tiny / "app-001")
    directory.write_text("scenario.yaml", TINY)
    directory.write_text("app.json", "{}")
    code, told = fedlite("run", "--resume", "app-001", "--backend", "local")
    assert (code, "app-001/app.json: got a damaged file" in told) == (2, True)
    assert not (tiny / "app-001" / "summary.json").exists()


def test_a_table_without_rows_keeps_its_types(tiny):
    RunDirectory(tiny / "run").write_table("empty.parquet", {"outcome": np.array([], dtype="U1")})
    assert pl.read_parquet(tiny / "run" / "empty.parquet").schema == {"outcome": pl.String}
