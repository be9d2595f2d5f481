"""`fedlite rollout optimise PLAN.yaml`: search for a faster plan that is shown to be safe."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedlite.cli.console import terminal
from fedlite.cli.following import Quiet, shown_count
from fedlite.cli.rollout_compare import record

if TYPE_CHECKING:
    from fedlite.compose.rollout_search import Found, Searched
    from fedlite.report.figure import TextTable

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def optimise(
    plan: Annotated[Path, typer.Argument(help="A rollout plan with a world in which the model is bad.")],
    blast: Annotated[
        int, typer.Option(min=0, help="Devices that a bad model may reach, the 95th percentile in the worst world.")
    ],
    detect: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least chance that a bad model is stopped; below 1.")
    ] = 0.9,
    rehearsals: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rehearsals in all, half of them for the final trial. The least is some 600 for each world of the"
            " plan, more with --detect above 0.95; default: twice the least.",
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="ray, local (no Ray), or auto: Ray where there is work enough.")
    ] = "auto",
    actors: Annotated[
        int | None, typer.Option(min=1, help="Ray actors; default: one per processor, at most 8.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Search first waves, growth and pauses for the fastest plan that is shown to stay within what is allowed."""
    from fedlite import runner as running
    from fedlite.compose.rollout_budget import Allowed
    from fedlite.compose.rollout_search import optimise as searched
    from fedlite.scenario.rollout.loading import load_rollout

    chosen, allowed = load_rollout(plan), Allowed(float(blast), detect)
    settings = running.Settings(backend=backend, actors=actors)
    done = shown_count(
        as_json or quiet,
        "rehearsals",
        lambda say: searched(chosen, allowed, rehearsals, settings=settings, progress=say),
    )
    if as_json:
        print(json.dumps(_plain(done)))
    else:
        _show(done)


def _plain(done: Searched) -> dict[str, Any]:
    from fedlite.compose.rollout_budget import WRONG

    plans = [
        record(one.standing)
        | {
            "blast_devices_at_most": one.blast_at_most, "detect_at_least": one.detect_at_least,
            "within": one.misses(done.allowed) == 0.0, "as_planned": not one.candidate.shares,
            "fresh_rehearsals": one.rehearsals, "steps": done.steps(one),
        }
        for one in done.plans
    ]  # fmt: skip
    return {
        "found": done.found, "steps": done.steps(done.best), "confidence": 1.0 - WRONG,
        "rehearsals": done.rehearsals, "fresh_rehearsals": done.best.rehearsals, "plans": plans,
    }  # fmt: skip


def _show(done: Searched) -> None:
    from fedlite.compose.rollout_budget import WRONG
    from fedlite.report.console import rich_table

    console = terminal()
    console.print(rich_table(_table(done), console.width))
    best = done.best
    console.print(
        f"{done.rehearsals} rehearsals; the table is of {best.rehearsals} fresh ones of each plan in each world. 'At"
        f" most' bounds the devices hit (95th percentile) from above, 'at least' the chance to be caught from below:"
        f" with {100 * (1 - WRONG):.0f} % confidence no plan is said to be within what is allowed that is not.",
        highlight=False,
    )
    if not done.found:
        console.print("No plan that was tried is shown to stay within what is allowed; this one comes nearest:")
        if any(one.seems_within(done.allowed) for one in done.plans):
            console.print("(What was seen of some is within it: more --rehearsals bring the bounds nearer to that.)")
    if math.isinf(best.standing.time_s):
        console.print(
            "(It never gets to 95 % of the devices that can be let in: faster ones are not told from slower.)"
        )
    steps = done.steps(best)
    if steps is None:
        console.print("the plan as it is")
        return
    console.print("strategy:\n  steps:", highlight=False)
    for step in steps:
        console.print(f"    - {_written(step)}", highlight=False)


def _table(done: Searched) -> TextTable:
    from fedlite.report.figure import TextTable

    order = (
        "those within what is allowed first, the fastest on top"
        if done.found
        else "the nearest to what is allowed first"
    )
    head = ("plan", "95 % after", "hit", "at most", "caught", "at least", "false", "within")
    return TextTable(f"Plans, {order}", head, tuple(_row(one, done) for one in done.plans), frozenset(range(1, 7)))


def _row(one: Found, done: Searched) -> tuple[str, ...]:
    from fedlite.report.words import count, percent, quantity

    seen = one.standing
    return (
        seen.name if one.candidate.shares else f"{seen.name} (yours)",
        "never" if math.isinf(seen.time_s) else quantity(seen.time_s, "time"), count(seen.blast_devices),
        count(one.blast_at_most), percent(seen.detect, 0), percent(one.detect_at_least, 1),
        percent(seen.false_abort, 0), "no" if one.misses(done.allowed) else "yes",
    )  # fmt: skip


def _written(step: dict[str, Any]) -> str:
    if "pause" in step:
        return f"pause: {{duration: {step['pause']['duration']}}}"
    if "analysis" in step:
        return f"analysis: [{', '.join(step['analysis'])}]"
    return f"setWeight: {step['setWeight']}"
