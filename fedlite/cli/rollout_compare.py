"""Plans side by side, and the search for a better one."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.compose.rollout_run import Rollout
    from fedlite.rollout.ranking import Standing

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def told_ranking(finished: Sequence[Rollout], out: Path, as_json: bool) -> None:
    """Print plans by how fast, how dangerous and how dear they are, and write the page of it."""
    from rich.console import Console

    from fedlite.report.console import rich_table
    from fedlite.report.rollout_compare_page import of_plans, ranking_table, write_rollout_comparison

    plans = of_plans([(one.path, one.summary) for one in finished])
    page = write_rollout_comparison(plans, out)
    if as_json:
        told = [record(one.standing) | {"unbeaten": one.unbeaten} for one in plans]
        print(json.dumps({"plans": told, "report": str(page)}))
        return
    console = Console()
    console.print(rich_table(ranking_table(plans), console.width))
    console.print(f"report: [link=file://{page.resolve()}]{page}[/link]", soft_wrap=True)


def optimise(
    plan: Annotated[Path, typer.Argument(help="A rollout plan with a world in which the model is bad.")],
    blast: Annotated[
        int, typer.Option(min=0, help="Devices that a bad model may reach, the 95th percentile in the worst world.")
    ],
    detect: Annotated[float, typer.Option(min=0.0, max=1.0, help="Least chance that a bad model is stopped.")] = 0.9,
    rehearsals: Annotated[int, typer.Option(min=1, help="Rehearsals in all.")] = 2000,
    as_json: AsJson = False,
) -> None:
    """Search first waves, growth and pauses for the fastest plan that stays within what is allowed."""
    from rich.console import Console

    from fedlite.compose.rollout_models import variants
    from fedlite.compose.rollout_plan import rehearsed
    from fedlite.compose.rollout_search import Allowed, search
    from fedlite.report.console import rich_table
    from fedlite.report.rollout_compare_page import standings_table
    from fedlite.scenario.profiles import load_profile
    from fedlite.scenario.rollout.loading import load_rollout

    chosen = load_rollout(plan)
    made = rehearsed(chosen, variants(chosen.model, [load_profile(name) for name in chosen.fleet.mix]))
    allowed = Allowed(float(blast), detect)
    found = search(made, allowed, rehearsals)
    best = found[0]
    if as_json:
        print(json.dumps({
            "found": best.misses(allowed) == 0.0, "steps": best.candidate.steps,
            "plans": [record(one.standing) | {"rehearsals": one.rehearsals} for one in found],
        }))  # fmt: skip
        return
    console = Console()
    told = standings_table([(one.standing, str(one.rehearsals)) for one in found], "times")
    console.print(rich_table(told, console.width))
    if best.misses(allowed):
        console.print("No plan that was tried stays within what is allowed; this one comes nearest:")
    console.print("strategy:\n  steps:", highlight=False)
    for step in best.candidate.steps:
        console.print(f"    - {_written(step)}", highlight=False)


def _written(step: dict[str, Any]) -> str:
    if "pause" in step:
        return f"pause: {{duration: {step['pause']['duration']}}}"
    return f"setWeight: {step['setWeight']}"


def record(one: Standing) -> dict[str, Any]:
    """Return a standing as plain values; never is null."""
    return {
        key: None if isinstance(value, float) and math.isinf(value) else value for key, value in asdict(one).items()
    }
