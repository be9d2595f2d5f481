"""`fedlite run`: run a scenario, with a progress bar for people and one line of JSON for programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fedlite.cli.console import terminal
from fedlite.cli.following import Quiet, shown
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from fedlite.compose.finished import Run

NO_GOOD: Final = 7
"""Exit code of a run that is written, but of which nothing came: nobody replied, or what they learned diverged."""

Backend = Annotated[str, typer.Option(help="ray, local (no Ray), or auto: Ray where there is work enough for it.")]
Accelerator = Annotated[
    str, typer.Option(help="What torch computes on: none (the processor), cuda, mps, or auto: whichever is there.")
]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Change a key: training.rounds=5 (repeatable).")]

LogTo = Annotated[
    list[str] | None,
    typer.Option("--log-to", help="Write each round as it ends: tensorboard:FOLDER or mlflow:FOLDER (repeatable)."),
]


def run(
    scenario: Annotated[Path | None, typer.Argument(help="Scenario file; left out with --resume.")] = None,
    *,
    backend: Backend = "auto",
    actors: Annotated[
        int | None, typer.Option(min=1, help="Ray actors; default: one per processor, at most 8.")
    ] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster instead of starting one.")] = None,
    accelerator: Accelerator = "none",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed in place of the scenario's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default: the next free runs/NAME-001.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the interrupted run in this directory.")] = None,
    overrides: Overrides = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Run the first rounds only, and tell what the whole will take.")
    ] = False,
    log_to: LogTo = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one line of JSON, last.")] = False,
) -> None:
    """Run a scenario: real training, real bytes, virtual time; leaves a run directory with a report.

    With --estimate it leaves nothing: wall time, memory and disk of the whole are told from its first rounds.
    """
    from fedlite import runner as running
    from fedlite.scenario.loader import check, open_document
    from fedlite.scenario.placing import placed
    from fedlite.scenario.schema import Scenario

    settings = running.Settings(
        backend=backend, actors=actors, ray_address=ray_address, accelerator=accelerator, log_to=tuple(log_to or ())
    )
    if resume is not None:
        if scenario is not None or overrides or seed is not None or out is not None or estimate:
            raise FedliteError(
                "--resume: got a scenario, --set, --seed, --out or --estimate beside it; the run has its own already"
            )
        finished = shown(as_json or quiet, lambda say: running.resume(resume, settings=settings, progress=say))
    else:
        if scenario is None:
            raise FedliteError("run: got no scenario, expected a file; write 'fedlite run scenarios/quickstart.yaml'")
        document = open_document(scenario)
        chosen = check(document, Scenario, scenario.parent, changes_of(overrides or [], seed))
        with placed(document):
            if estimate:
                from fedlite.cli.estimates import tell_run

                return tell_run(chosen, settings, quiet=as_json or quiet, as_json=as_json)
            finished = shown(
                as_json or quiet, lambda say: running.run(chosen, out=out, settings=settings, progress=say)
            )
    return tell(finished, as_json)


def tell(finished: Run, as_json: bool) -> None:
    """Show what came of a run.

    Raises
    ------
    SystemExit
        If nothing sound did: its results are written, and the last line says why they are no good.
    """
    if as_json:
        print(json.dumps(finished.summary))
    else:
        show_outcome(finished)
    judge(finished.path, finished.summary)


def judge(path: Path, summary: dict[str, Any]) -> None:
    """Say last why a run is no good, if it is not.

    Raises
    ------
    SystemExit
        If it is not.
    """
    if verdict := summary.get("verdict"):
        print(f"{path}: {verdict}", file=sys.stderr)
        raise SystemExit(NO_GOOD)


def changes_of(overrides: list[str], seed: int | None = None) -> dict[str, str]:
    """Return the keys that `--set` and `--seed` change.

    Raises
    ------
    FedliteError
        If one is no KEY=VALUE.
    """
    changes = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise FedliteError(f"--set: got {text!r}, expected KEY=VALUE; write for example --set training.rounds=5")
        changes[key] = value
    return changes | ({} if seed is None else {"seed": str(seed)})


def show_outcome(finished: Run) -> None:
    """Show what came of a run, and where its report is."""
    from fedlite.report.console import summary_table

    console = terminal()
    console.print(summary_table(finished.path))
    if why := finished.summary.get("backend_why"):  # runs of earlier versions do not say
        console.print(f"backend: {finished.summary['backend']} ({why})", markup=False, highlight=False)
    console.print(
        f"report: [link=file://{(finished.path / 'report.html').resolve()}]{finished.path / 'report.html'}[/link]"
    )
