"""`fedlite report` and `fedlite compare`: the pages and summaries of finished runs."""

from __future__ import annotations

import json
import re
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedlite.cli.console import terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compose.finished import Run
    from fedlite.compose.finished_rollout import Rollout
    from fedlite.compose.finished_study import Sweep

    Extras = Callable[[Run | Sweep | Rollout], list[Path]]
    """Writes what was asked for beside the page."""

_LONGEST: Final = 80
"""Characters of a file's name."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def report(
    run_dir: Annotated[
        Path, typer.Argument(help="A directory that 'fedlite run', 'fedlite sweep' or 'fedlite rollout' wrote.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write the page; default: where it was, in RUN_DIR.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the tables as CSV files into this folder.")] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Write the figures for a paper into this folder (extra figures).")
    ] = None,
    kind: Annotated[str, typer.Option("--format", help="Of figures: svg, pdf or png.")] = "svg",
    width_mm: Annotated[float, typer.Option("--width", help="Of figures in millimetres; 85 is a column of two.")] = 85,
    as_json: AsJson = False,
) -> None:
    """Write the page of a finished run, a study or a rehearsed rollout again and show its key numbers."""
    from fedlite.compose.finished_study import is_study
    from fedlite.report.rollout_data import is_rollout
    from fedlite.report.run_data import fitting

    def extras(of: Run | Sweep | Rollout) -> list[Path]:
        tables = [] if csv is None else of.write_csv(csv)
        return tables + ([] if figures is None else of.write_figures(figures, kind, width_mm))

    if is_rollout(run_dir):
        _report_rollout(run_dir, out, extras, as_json)
    elif is_study(run_dir):
        _report_study(run_dir, out, extras, as_json)
    else:
        with fitting(run_dir):
            _report(run_dir, out, extras, as_json)


def _report(run_dir: Path, out: Path | None, extras: Extras, as_json: bool) -> None:
    from fedlite.compose.finished import load_run
    from fedlite.report.run_page import write_report

    page = write_report(run_dir, out)
    run = load_run(run_dir)
    files = extras(run)
    if as_json:
        typer.echo(json.dumps(_finite({**run.summary, "report": str(page), "files": [*map(str, files)]})))
        return

    from fedlite.report.console import summary
    from fedlite.report.run_data import read_run

    terminal().print(summary(read_run(run_dir)))
    _tell_files(files)
    typer.echo(f"\nReport: {page}")


def _report_study(path: Path, out: Path | None, extras: Extras, as_json: bool) -> None:
    from fedlite.cli.sweep import show_study
    from fedlite.compose.finished_study import load_study

    study = load_study(path)
    page = study.write_page(out)
    files = extras(study)
    if as_json:
        typer.echo(json.dumps({**study.summary, "page": str(page), "files": [*map(str, files)]}))
        return
    show_study(study)
    _tell_files(files)
    typer.echo(f"Report: {page}")


def _tell_files(files: list[Path]) -> None:
    for folder in dict.fromkeys(file.parent for file in files):
        names = ", ".join(file.name for file in files if file.parent == folder)
        typer.echo(f"{folder}: {names}")


def _report_rollout(path: Path, out: Path | None, extras: Extras, as_json: bool) -> None:
    from fedlite.compose.finished_rollout import load_rollout

    rollout = load_rollout(path)
    page = rollout.write_page(out)
    files = extras(rollout)
    if as_json:
        typer.echo(json.dumps({**rollout.summary, "report": str(page), "files": [*map(str, files)]}))
        return

    from fedlite.report.rollout_console import tables

    console = terminal()
    for table in tables(rollout.summary, console.width):
        console.print(table, "")
    _tell_files(files)
    typer.echo(f"Report: {page}")


def compare(
    run_dirs: Annotated[list[Path], typer.Argument(help="Two or more run directories.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write the page; default: named after the runs, a new file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set runs side by side: what they cost, what differs between them, and the cost of the same result.

    Without --out nothing is overwritten: the page is called after the runs, with a number where there is one already.
    """
    from fedlite.report.run_data import fitting

    with fitting(*run_dirs):
        _compare(run_dirs, out, as_json)


def _compare(run_dirs: list[Path], out: Path | None, as_json: bool) -> None:
    from fedlite.report import run_sets
    from fedlite.report.compare_page import comparison_page, even_table, read_runs, settings_table, totals_table
    from fedlite.report.page import write_page
    from fedlite.report.same_result import all_reached

    runs, names = read_runs(run_dirs)
    page = write_page(comparison_page(runs, names), out or _unused(names))
    totals, even, metric = run_sets.totals(runs, names), all_reached(runs, names), run_sets.metric_of(runs)
    if as_json:
        differing = [dict(zip(("setting", *names), row, strict=True)) for row in run_sets.difference(runs)]
        found = {
            "runs": totals.to_dicts(),
            "main_metric": vars(metric),
            f"same_{metric.name}": even.to_dicts(),
            "differences": differing,
            "report": str(page),
        }
        typer.echo(json.dumps(_finite(found)))
        return

    from fedlite.report.console import rich_table

    console = terminal()
    for content in (totals_table(totals, metric), even_table(even, metric), settings_table(runs, names)):
        if content is not None:
            console.print(rich_table(content, console.width), "")
    typer.echo(f"Report: {page}")


def _unused(names: list[str]) -> Path:
    """Return where a comparison goes that nobody has named a file for: called after its runs, over no other."""
    plain = _called_after(names)
    pages = (Path(f"compare-{plain}{mark}.html") for mark in chain([""], (f"-{place}" for place in count(2))))
    return next(page for page in pages if not page.exists())


def _called_after(names: list[str]) -> str:
    """Return the names of as many runs as are not too long, and how many more there are."""
    plain = [re.sub(r"[^A-Za-z0-9._+]+", "-", name).strip("-.") for name in names]
    for shown in range(len(plain), 0, -1):
        rest = f"-and-{len(plain) - shown}-more" if shown < len(plain) else ""
        called = "-vs-".join(plain[:shown])
        if len(called + rest) <= _LONGEST:
            return called + rest
    return called[: _LONGEST - len(rest)] + rest


def _finite(value: object) -> object:
    # JSON has no not-a-number; a value that does not exist is null.
    from fedlite.report.markup import finite

    return finite(value)
