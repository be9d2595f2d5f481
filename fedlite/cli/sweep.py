"""`fedlite sweep`: run a study, with progress for people and one line of JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedlite.cli.console import terminal
from fedlite.cli.following import Quiet, shown_sweep
from fedlite.cli.run import Accelerator, Backend, LogTo

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compose.finished_study import Sweep
    from fedlite.sweeper import SweepProgress

SOME_FAILED = 5
"""Exit code of a study of which at least one run failed; the others are finished."""


def sweep(
    study: Annotated[Path, typer.Argument(help="Study file: a base scenario, what is varied, and seeds.")],
    out: Annotated[Path | None, typer.Option(help="The study's directory; default: runs/NAME.")] = None,
    backend: Backend = "auto",
    actors: Annotated[int | None, typer.Option(min=1, help="Ray actors; default: one per core, at most 8.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster instead of starting one.")] = None,
    accelerator: Accelerator = "none",
    seed_free: Annotated[
        bool, typer.Option("--seed-free", help="Run each variant once, with the base scenario's own seed.")
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Run the first rounds of each setting only, and tell what is left will take."),
    ] = False,
    log_to: LogTo = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON, last.")] = False,
) -> None:
    """Run every variant and seed of a study, or what is left of it, and write one page with the trade-offs.

    Exit code 5 if some runs failed; the page and the summary say which and why.
    """
    from fedlite.runner import Settings
    from fedlite.sweeper import sweep as sweep_study

    settings = Settings(
        backend=backend, actors=actors, ray_address=ray_address, accelerator=accelerator, log_to=tuple(log_to or ())
    )
    if estimate:
        from fedlite.cli.estimates import tell_study

        return tell_study(study, out, settings, seed_free=seed_free, quiet=as_json or quiet, as_json=as_json)

    def work(say: Callable[[SweepProgress], None] | None) -> Sweep:
        return sweep_study(study, out=out, settings=settings, seed_free=seed_free, progress=say)

    done = shown_sweep(as_json or quiet, work)
    if as_json:
        print(json.dumps(done.summary))
    else:
        show_outcome(done)
    if done.failed:
        raise SystemExit(SOME_FAILED)
    return None


def show_outcome(done: Sweep) -> None:
    """Show what came of a sweep, and where its page is."""
    show_study(done)
    found = len(done.finished) - done.reran
    console = terminal()
    console.print(f"{done.reran} runs done" + (f", {found} found finished" if found else ""))
    if done.page is not None:
        console.print(f"report: [link=file://{done.page.resolve()}]{done.page}[/link]")


def show_study(done: Sweep) -> None:
    """Show the tables of a study, and which of its runs failed."""
    from fedlite.report.console import rich_table
    from fedlite.report.failed_runs import failed_table
    from fedlite.report.study_tables import apart_table, settings_table

    console = terminal()
    if done.finished:
        study = done.study
        for content in (settings_table(study), apart_table(study.trade_offs)):
            if content is not None:
                console.print(rich_table(content, console.width), "")
    failed = failed_table([(failure.label, failure.seed, failure.error) for failure in done.failed])
    for label, seeds, why in failed.rows if failed else ():
        console.print(f"failed: {label}, seed {seeds}: {why}", markup=False)
