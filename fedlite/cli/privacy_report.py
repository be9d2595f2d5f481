"""`fedlite privacy report RUN`: what a finished run guarantees, verdict first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

RunDirectory = Annotated[Path, typer.Argument(help="A directory that 'fedlite run' wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def privacy_report(run_dir: RunDirectory, as_json: AsJson = False) -> None:
    """Say what a finished run guarantees, to whom, and everything that it rests on."""
    from fedlite.cli.console import terminal
    from fedlite.report.privacy_report import privacy_report as report_of
    from fedlite.report.run_data import read_run

    run = read_run(run_dir)
    found = report_of(run.summary, run.manifest)
    if as_json:
        typer.echo(json.dumps(found.record))
        return
    screen = terminal()
    screen.print(found.paragraph, highlight=False, markup=False)
    for point in found.points[1:]:
        screen.print(f"\n{point.heading}", style="bold", highlight=False, markup=False)
        screen.print(f"  {point.text}", highlight=False, markup=False)
