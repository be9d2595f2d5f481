"""`fedlite rollout PLAN.yaml`: rehearse a plan in every world that it names, and say what came of it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedlite.cli.console import terminal
from fedlite.cli.following import Quiet, shown_count
from fedlite.cli.rollout_compare import told_ranking
from fedlite.errors import FedliteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fedlite.compose.finished_rollout import Rollout
    from fedlite.runner import Settings
    from fedlite.scenario.rollout.plan import RolloutPlan

_WHAT: Final = "rehearsals"
PlanFiles = Annotated[list[Path], typer.Argument(help="A rollout plan; with --compare several.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change a key: audience.opt_out='5 %' (repeatable).")
]


def rehearse(
    plans: PlanFiles,
    compare: Annotated[bool, typer.Option("--compare", help="Rehearse all plans and rank them.")] = False,
    replications: Annotated[int | None, typer.Option(min=1, help="Rehearsals of each world.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed in place of the plan's.")] = None,
    backend: Annotated[
        str, typer.Option(help="ray, local (no Ray), or auto: Ray where there is work enough.")
    ] = "auto",
    actors: Annotated[
        int | None, typer.Option(min=1, help="Ray actors; default: one per processor, at most 8.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory; that of an interrupted rehearsal of this plan is continued. With --compare the page, "
            "default compare.html."
        ),
    ] = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Rehearse a rollout plan: coverage, bytes, energy, what gates catch, and whom a bad model reaches."""
    from fedlite import runner as running
    from fedlite.cli.run import changes_of
    from fedlite.compose.rollout_run import rehearse as play
    from fedlite.report.page import refuse_foreign
    from fedlite.scenario.rollout.loading import load_rollout

    if len(plans) > 1 and not compare:
        raise FedliteError(f"rollout: got {len(plans)} plans, expected one; add --compare to rank them")
    told = {"replications": replications, "seed": seed}
    changes = changes_of(overrides or []) | {key: str(value) for key, value in told.items() if value is not None}
    settings = running.Settings(backend=backend, actors=actors)
    chosen = [load_rollout(plan, changes) for plan in plans]
    if compare:
        page = out or Path("compare.html")
        if page.is_dir():
            raise FedliteError(f"--out: got {out}, which is a folder, expected the name of a page; add '/compare.html'")
        refuse_foreign(page)
        played = [shown_count(as_json or quiet, _WHAT, partial(_played, play, one, None, settings)) for one in chosen]
        told_ranking(played, page, as_json)
        return
    finished = shown_count(as_json or quiet, _WHAT, partial(_played, play, chosen[0], out, settings))
    summary = finished.summary
    if as_json:
        print(json.dumps(summary))
        return

    from fedlite.report.rollout_console import tables

    console = terminal()
    for table in tables(summary, console.width):
        console.print(table, "")
    for remark in summary["remarks"]:
        console.print(f"Mind: {remark}.", soft_wrap=True)
    console.print(f"results: {finished.path}", soft_wrap=True)
    page = finished.path / "report.html"
    console.print(f"report: [link=file://{page.resolve()}]{page}[/link]", soft_wrap=True)


def _played(
    play: Callable[..., Rollout],
    plan: RolloutPlan,
    out: Path | None,
    settings: Settings,
    say: Callable[[int, int], None] | None,
) -> Rollout:
    finished = play(plan, out=out, settings=settings, progress=say)
    finished.write_page()
    return finished
