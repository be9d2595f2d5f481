"""Every command and snippet of a page is run: a page is a session, in its order, in a folder like a checkout.

What is not run, and why, stands in `told.py`. A file that a page shows ("`mine.yaml`:" before the fence) is there for
the commands below it. What a page says a command prints is compared, with `...` for anything.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import shutil
import sys
from pathlib import Path

import click
import pytest
import typer

from fedlite.cli.main import app
from fedlite.errors import FedliteError
from fedlite.scenario.loader import parse_scenario
from fedlite.scenario.rollout.loading import parse_rollout
from fedlite.scenario.strict_yaml import read
from fedlite.scenario.study import load_study


def beside(name):
    """Return a module of this folder."""
    spec = importlib.util.spec_from_file_location(f"tests_docs_{name}", Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


desk, pages, told = beside("desk"), beside("snippets"), beside("told")
SESSIONS = {str(page.relative_to(desk.ROOT)): pages.snippets(page) for page in pages.PAGES}
"""Page -> its snippets."""
RUN = {"sh", "console", "python", "yaml", "json", "csv"}
COMMANDS = [command for found in SESSIONS.values() for snippet in found for command in snippet.commands]
LINKED = ("benchmarks", "constraints.txt", "device_profiles", "docs", "fedlite", "pyproject.toml", "tests")


@pytest.fixture(scope="session")
def room(tmp_path_factory):
    """Return a folder with what all pages share: smaller scenarios, data, and a finished run."""
    folder = tmp_path_factory.mktemp("room")
    desk.write_scenarios(folder / "scenarios")
    desk.write_data(folder / "data")
    (folder / "tiny.yaml").write_text(desk.TINY)
    code, _, err = desk.fedlite("run", str(folder / "tiny.yaml"), "--backend", "local", "--out", str(folder / "run"))
    assert code == 0, err
    return folder


@pytest.fixture
def folder(room, tmp_path, monkeypatch):
    """Return the folder of one page, and go there."""
    shutil.copytree(room / "scenarios", tmp_path / "scenarios")
    for name in LINKED:
        (tmp_path / name).symlink_to(desk.ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDLITE_DATA", str(room / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.mark.parametrize("page", [page for page, found in SESSIONS.items() if RUN & {one.kind for one in found}])
def test_a_page_does_what_it_says(page, folder, room, monkeypatch):
    names = {"__name__": "page"}
    exec(told.GIVEN.get(page, ""), names)  # noqa: S102 - it is our own
    monkeypatch.syspath_prepend(folder / "docs/examples/parts")
    for snippet in SESSIONS[page]:
        if snippet.file:
            (folder / snippet.file).write_text(snippet.text)
        if snippet.kind == "python":
            run_python(snippet, names, folder, room)
        elif snippet.kind == "yaml":
            check_yaml(snippet, folder)
        elif snippet.kind == "json":
            json.loads(snippet.text)
        for command in snippet.commands:
            with monkeypatch.context() as changes:
                run_command(page, command, folder, room, changes)


def run_python(snippet, names, folder, room):
    """Execute Python as a reader would, after what stands above it on the page."""
    desk.provide(folder, [f"runs/{name}" for name in re.findall(r"\bruns/([\w-]+)", snippet.text)], room / "run")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(snippet.text, f"{snippet.page}:{snippet.line}", "exec"), names)  # noqa: S102 - the page is our own
    if snippet.printed is not None:
        assert desk.agrees(printed.getvalue(), snippet.printed), f"{snippet.page}:{snippet.line}\n{printed.getvalue()}"


def check_yaml(snippet, folder):
    """Read a scenario, a study, a rollout plan, or a part of a scenario with the rest put in."""
    where = f"{snippet.page}:{snippet.line}"
    keys = read(snippet.text, where).value
    if "strategy" in keys:
        parse_rollout(snippet.text, where)
    elif "base" in keys:
        study = folder / (snippet.file or "scenarios/studies/shown.yaml")
        study.write_text(snippet.text)
        assert load_study(study).variants
    else:
        whole = read(desk.TINY, where).value
        parse_scenario(json.dumps({name: _over(whole.get(name), keys.get(name)) for name in {**whole, **keys}}), where)


def _over(rest, shown):
    if shown is None:
        return rest
    return rest | shown if isinstance(rest, dict) and isinstance(shown, dict) else shown


def run_command(page, command, folder, room, changes):
    """Run a command in this process, or parse it if it is one of those that are not run."""
    where, words = f"{page}:{command.line}: {command.text}", command.words
    if words[0] == "fedlite":
        parsed(words[1:], where)
    if reason(command, told.NOT_RUN):
        return
    assert words[0] == "fedlite", f"{where}: is neither a command of fedlite nor listed in NOT_RUN"
    for name, value in command.environment.items():
        changes.setenv(name, value)
        changes.setattr(sys, "path", [*value.split(":"), *sys.path])
    desk.provide(folder, words, room / "run")
    code, out, err = desk.fedlite(*words[1:], *(reason(command, told.EFFORT) or []))
    shown = command.printed
    if shown is None or reason(command, told.NOT_COMPARED.get(page, {})):
        assert code == 0, f"{where}: exit code {code}\n{out}{err}"
    else:
        assert desk.agrees(out if code == 0 else out + err, shown), (
            f"{where}: exit code {code}, and it prints\n{out}{err}"
        )


def parsed(arguments, where):
    """Take a command line apart as the command line itself does, without running it."""
    with contextlib.suppress(click.exceptions.Exit), contextlib.redirect_stdout(io.StringIO()):  # of --help
        command = typer.main.get_command(app)
        context = command.make_context("fedlite", list(arguments), resilient_parsing=True)
        while hasattr(command, "resolve_command") and (context._protected_args or context.args):
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert command, f"{where}: there is no such command"
            is_group = hasattr(command, "resolve_command")
            context = command.make_context(name, rest, parent=context, resilient_parsing=is_group)


def reason(command, table):
    """Return what a table says of a command, by how it begins."""
    plain = " ".join(command.words)
    return next((value for begun, value in table.items() if plain.startswith(begun.strip())), None)


def test_every_fence_says_what_it_is():
    known = RUN | {"text", "bibtex"}
    assert [f"{s.page}:{s.line}: '{s.kind}'" for found in SESSIONS.values() for s in found if s.kind not in known] == []


@pytest.mark.parametrize("table", ["NOT_RUN", "EFFORT"])
def test_every_exception_is_needed(table):
    for begun in getattr(told, table):
        assert any(reason(command, {begun: True}) for command in COMMANDS), f"{table}: no page says '{begun}' any more"


def test_every_output_that_is_not_compared_is_still_shown():
    for page, begins in told.NOT_COMPARED.items():
        shown = [command for snippet in SESSIONS[page] for command in snippet.commands if command.printed is not None]
        for begun in begins:
            assert any(reason(command, {begun: True}) for command in shown), f"{page} shows no output of '{begun}'"


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("one  line\nand 2.5 J", "one line\nand 2.5 J\n", True),
        ("one line\nand 2.5 J", "one line\nand 2.9 J", False),
        ("one line\nand 2.5 J", "one line\nand 2.51 J", True),
        ("10 rounds", "11 rounds", False),
        ("−5.2 % (−11.6 % to +1.2 %)", "−5.3 % (−12.1 % to +0.9 %)", True),
        ("−5.2 %", "+5.2 %", False),
        ("one line\nand more\nto the end", "one line\n...\nto the end", True),
        ("it took 3.1 s", "it took ... s", True),
        ("one line\nand more", "one line", False),
        ("all\nof it", "all\nof it\n...", True),
        ("all of a thing", "all.of a thing", False),
    ],
)
def test_what_is_printed_is_compared_word_for_word(printed, shown, same):
    assert desk.agrees(printed, shown) is same


@pytest.mark.parametrize(
    ("fence", "error"),
    [
        ("sh\nfedlite devices list --nothing", "No such option '--nothing'"),
        ("sh\nfedlite nothing", "there is no such command"),
        ("sh\ncurl https://x.example", "neither a command of fedlite nor listed"),
        ("console\n$ fedlite --version\nfedlite 9.9.9", "and it prints"),
        ("sh\nfedlite validate nowhere.yaml", "exit code 2"),
        ("yaml\nwire: {up: int9}", "int9"),
        ("python\nassert False, 'untrue'", "untrue"),
        ("python\nprint(1)\n```\n\n```text\n2", "where False = <function agrees"),
    ],
)
def test_a_page_that_is_not_true_is_found(fence, error, folder, room, monkeypatch, tmp_path):
    page = tmp_path / "shown.md"
    page.write_text(f"```{fence}\n```\n")
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setitem(SESSIONS, "shown.md", pages.snippets(page))
    with pytest.raises((AssertionError, FedliteError, click.ClickException), match=re.escape(error)):
        test_a_page_does_what_it_says("shown.md", folder, room, monkeypatch)
