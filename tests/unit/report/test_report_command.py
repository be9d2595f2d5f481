"""`fedlite report` and `fedlite compare` on the command line."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from fedlite.cli.report import _called_after, compare, report
from fedlite.report.console import summary_table
from fedlite.report.run_data import NotARunError

app = typer.Typer()
app.command("report")(report)
app.command("compare")(compare)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(item) for item in arguments])


def test_report_writes_the_page_and_shows_the_answer(write_run):
    path = write_run(rounds=3)
    result = invoke("report", path)
    assert result.exit_code == 0
    assert (path / "report.html").is_file()
    assert "After 3 rounds" in result.output
    assert "Jobs that arrived" in result.output


def test_report_json_is_the_summary_with_the_page(write_run, tmp_path):
    path = write_run(evaluated=False)
    found = json.loads(invoke("report", path, "--json", "--out", tmp_path / "page.html").output)
    assert found["report"] == str(tmp_path / "page.html")
    assert found["rounds"] == 12
    assert found["metrics"]["accuracy"] is None


def test_report_refuses_what_is_no_run(tmp_path):
    result = invoke("report", tmp_path)
    assert isinstance(result.exception, NotARunError)


def test_compare_json_holds_runs_differences_and_the_same_accuracy(write_run, tmp_path):
    a, b = write_run("a", lr=0.01), write_run("b", lr=0.05)
    found = json.loads(invoke("compare", a, b, "--json", "--out", tmp_path / "c.html").output)
    assert [row["run"] for row in found["runs"]] == ["a", "b"]
    assert found["differences"] == [{"setting": "training.lr", "a": "0.01", "b": "0.05"}]
    assert {row["run"] for row in found["same_accuracy"]} == {"a", "b"}
    assert (tmp_path / "c.html").is_file()


def test_compare_shows_tables(write_run, tmp_path):
    result = invoke("compare", write_run("a", lr=0.01), write_run("b", lr=0.05), "--out", tmp_path / "c.html")
    assert result.exit_code == 0
    assert "Settings that differ" in result.output


@pytest.mark.parametrize("changes", [{}, {"nothing": True}, {"name": "[bold]x[/bold]"}])
def test_a_summary_shows_names_as_they_are(write_run, changes):
    from rich.console import Console

    console = Console(width=100, record=True, quiet=True)
    path = write_run(**changes)
    with console.capture() as captured:
        console.quiet = False
        console.print(summary_table(path))
    assert changes.get("name", "watch-fleet") in captured.get()


def test_a_comparison_is_called_after_its_runs_and_overwrites_nothing(write_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [write_run(name, lr=lr) for name, lr in (("a", 0.01), ("b", 0.05), ("c", 0.1))]
    pages = [json.loads(invoke("compare", *runs, "--json").output)["report"] for _ in range(2)]
    assert pages == ["compare-a-vs-b-vs-c.html", "compare-a-vs-b-vs-c-2.html"]
    names = [f"thermostats-and-{i}" for i in range(12)]
    assert _called_after(names) == "thermostats-and-0-vs-thermostats-and-1-vs-thermostats-and-2-and-9-more"
    assert len(_called_after(["x" * 99, "y"])) == 80
