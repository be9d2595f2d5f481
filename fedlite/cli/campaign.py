"""`fedlite campaign`: what a campaign takes, from a scenario or a finished run, and how a rollout after it would go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.cli.console import terminal
from fedlite.cli.following import Quiet, shown, shown_count
from fedlite.cli.run import Accelerator, Backend, Overrides, changes_of, judge
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from fedlite.compose.backend import Wanted
    from fedlite.compose.finished_rollout import Rollout
    from fedlite.report.run_data import RunData
    from fedlite.scenario.rollout.plan import RolloutPlan


def campaign(
    source: Annotated[Path, typer.Argument(help="A scenario under a production protocol, or a finished run of one.")],
    rollout: Annotated[
        Path | None, typer.Option(help="A rollout plan, to be rehearsed after the training, on the same page.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Value of the main metric in place of the scenario's target: '85 %'.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Where to write the page; default RUN_DIR/campaign.html.")] = None,
    backend: Backend = "auto",
    actors: Annotated[
        int | None, typer.Option(min=1, help="Ray actors; default: one per processor, at most 8.")
    ] = None,
    accelerator: Accelerator = "none",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed in place of the scenario's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory; default: the next free runs/NAME-001.")] = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Plan a campaign: days to the target, users' data and battery, whom it never hears, what the server sends."""
    from fedlite import runner as running
    from fedlite.compose.campaign_answers import answers
    from fedlite.report.page import refuse_foreign
    from fedlite.report.run_data import fitting, read_run

    if page is not None:
        refuse_foreign(page)
    settings = running.Settings(backend=backend, actors=actors, accelerator=accelerator)
    wanted = None if target is None else _value(target)
    plan = None if rollout is None else _plan(rollout)
    if source.is_dir():
        if overrides or seed is not None or out is not None:
            raise FedliteError("campaign: got --set, --seed or --out beside a run, which has its own already")
        path = source
    else:
        changes = changes_of(overrides or [], seed)
        path = _trained(source, changes, out, settings, quiet=as_json or quiet)
    with fitting(path):
        run = read_run(path)
        # Before the rehearsals, which take long: what cannot be answered is told at once.
        found = answers(run, wanted)
        rehearsal = None if plan is None else _rehearsed(plan, settings, quiet=as_json or quiet)
        _tell(run, found, rehearsal, page or path / "campaign.html", as_json=as_json)


def _value(text: str) -> float:
    from fedlite.errors import UnitError
    from fedlite.units import parse

    try:
        return parse(text, "fraction")
    except UnitError as error:
        raise FedliteError(f"--target: {error}") from None


def _plan(path: Path) -> RolloutPlan:
    """Read the plan before anything is trained: its mistakes would come late."""
    from fedlite.scenario.rollout.loading import load_rollout

    return load_rollout(path)


def _trained(source: Path, changes: dict[str, str], out: Path | None, settings: Wanted, *, quiet: bool) -> Path:
    from fedlite import runner as running
    from fedlite.compose.campaign_answers import needs_calendar
    from fedlite.scenario.loader import check, open_document
    from fedlite.scenario.schema import Scenario

    document = open_document(source)
    scenario = check(document, Scenario, source.parent, changes)
    needs_calendar(scenario, document)
    return shown(quiet, lambda say: running.run(scenario, out=out, settings=settings, progress=say)).path


def _tell(run: RunData, found: dict[str, Any], rehearsal: Rollout | None, page: Path, *, as_json: bool) -> None:
    from fedlite.report.campaign_page import campaign_page
    from fedlite.report.markup import finite
    from fedlite.report.page import write_page
    from fedlite.report.rollout_data import read_rollout

    rehearsed, rehearsal_dir = (None, None) if rehearsal is None else (rehearsal.summary, str(rehearsal.path))
    rollout = None if rehearsal is None else read_rollout(rehearsal.path)
    written = write_page(campaign_page(run, found, rollout), page)
    if as_json:
        whole = {**found, "page": str(written), "rollout": rehearsed, "rollout_dir": rehearsal_dir}
        print(json.dumps(finite(whole)))
    else:
        _show(run, found, rehearsed)
        if rehearsal_dir:
            print(f"rehearsals: {rehearsal_dir}")
        print(f"run: {run.path}\npage: {written}")
    judge(run.path, run.summary)


def _rehearsed(plan: RolloutPlan, settings: Wanted, *, quiet: bool) -> Rollout:
    from fedlite.compose.rollout_run import rehearse

    return shown_count(quiet, "rehearsals", lambda say: rehearse(plan, settings=settings, progress=say))


def _show(run: RunData, found: dict[str, Any], rehearsed: dict[str, Any] | None) -> None:
    from fedlite.report import rollout_console
    from fedlite.report.campaign_page import text_tables
    from fedlite.report.console import rich_table

    console = terminal()
    for content in text_tables(run, found):
        console.print(rich_table(content, console.width), "")
    for line in found["unanswered"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for shown_table in rollout_console.tables(rehearsed) if rehearsed else ():
        console.print(shown_table)
