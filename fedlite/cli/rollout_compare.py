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

    from fedlite.rollout.ranking import Standing

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def told_ranking(summaries: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print plans by how fast, how dangerous and how dear they are."""
    from rich.console import Console

    from fedlite.rollout.ranking import ranked, standing

    found = ranked([standing(summary) for summary in summaries])
    if as_json:
        print(json.dumps({"plans": [record(one) | {"unbeaten": unbeaten} for one, unbeaten in found]}))
        return
    Console().print(_table([(one, "yes" if unbeaten else "no") for one, unbeaten in found], "best"))


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
    console.print(_table([(one.standing, str(one.rehearsals)) for one in found], "times"))
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


def _table(rows: Sequence[tuple[Standing, str]], last: str) -> Any:
    from rich.table import Table

    from fedlite.report.words import count, percent, quantity

    made = Table(title="Plans, the fastest first", title_justify="left")
    for name in ("plan", "95 % after", "bad hits", "caught", "false", "radio", "paid", last):
        made.add_column(name)
    for one, word in rows:
        made.add_row(
            one.name, "never" if math.isinf(one.time_s) else quantity(one.time_s, "time"), count(one.blast_devices),
            percent(one.detect, 0), percent(one.false_abort, 0), quantity(one.delivery_j, "energy"),
            quantity(one.metered_bytes, "bytes"), word,
        )  # fmt: skip
    return made
