"""What commands print fits where it goes: a pipe, a narrow terminal, one without colours."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer import rich_utils
from typer.main import get_command
from typer.testing import CliRunner

from fedlite.__main__ import main as front_door
from fedlite.cli.console import WIDE, terminal
from fedlite.cli.main import app, main


def said(arguments, columns=None):
    found = CliRunner().invoke(app, arguments, env={"COLUMNS": columns})
    assert found.exit_code == 0, found.output
    return found.output


def test_a_pipe_gets_whole_tables(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal().width == WIDE
    listed = said(["data", "list"])
    assert "…" not in listed
    assert "package ISC; MNIST is said to be CC BY-SA 3.0" in listed


def test_columns_that_are_asked_for_are_kept_to(monkeypatch):
    monkeypatch.setenv("COLUMNS", "66")
    assert terminal().width == 66


@pytest.mark.parametrize("command", [["compress", "mlp"], ["data", "list"], ["devices", "list"]])
def test_eighty_columns_cut_nothing(command):
    listed = said(command, columns="80")
    assert "…" not in listed
    assert max(map(len, listed.splitlines())) <= 80


def test_where_there_is_room_plans_are_one_table_and_else_two():
    wide, narrow = (said(["compress", "mlp"], columns=columns) for columns in ("160", "80"))
    assert (wide.count("training in batches"), narrow.count("training in batches")) == (1, 2)


def test_no_colour_is_no_bold_either(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    bold, plain = "[bold]word[/bold]", {}
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        console = terminal()
        with console.capture() as told:
            console.print(bold)
        plain[no_color] = told.get()
    assert plain["1"] == "word\n"
    assert "\x1b[1m" in plain[""]


@pytest.mark.parametrize("asked", [["--help"], ["run", "--help"]])
def test_no_colour_is_no_bold_in_help_either(asked, monkeypatch, capsys):
    monkeypatch.setattr(rich_utils, "FORCE_TERMINAL", True)
    monkeypatch.setattr(rich_utils, "COLOR_SYSTEM", "auto")
    monkeypatch.setattr(sys, "argv", ["fedlite", *asked])
    told = {}
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        with pytest.raises(SystemExit):
            main()
        told[no_color] = capsys.readouterr().out
    assert "\x1b[" in told[""]
    assert "Usage" in told["1"]
    assert "\x1b[" not in told["1"]


def test_a_stop_while_commands_are_imported_is_told_as_one(monkeypatch, capsys):
    class Slow:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "fedlite.cli.main", Slow())
    with pytest.raises(SystemExit) as stopped:
        front_door()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_what_is_imported_before_a_stop_is_heard_is_next_to_nothing():
    told = "import sys; before = set(sys.modules); import fedlite.__main__; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"__future__", "fedlite", "fedlite.__main__"}


def test_the_demo_ends_with_three_commands_that_there_are(tmp_path):
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    lines = re.findall(r'@echo "  (\$\(BIN\)/fedlite [^"#]*)', makefile)
    assert len(lines) == 3
    for line in " && ".join(lines).replace("$(SCENARIO)", "x.yaml").replace("$(DEMO_OUT)", str(tmp_path)).split("&&"):
        name, *arguments = shlex.split(line.replace("$(BIN)/fedlite", ""))
        command = get_command(app).commands[name]
        assert command.make_context(name, arguments).params
