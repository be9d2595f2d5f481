"""The page of rollout plans side by side: how fast, how dangerous, how dear, and which of them nobody beats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedlite.report.figure import TextTable
from fedlite.report.figures.rollout_plans import Band, Plotted, pareto
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import Page, Section, write_page
from fedlite.report.rollout_rows import NEVER
from fedlite.report.words import count, listed, percent, plural, quantity
from fedlite.rollout.ranking import most_dangerous, ranked, slowest, standing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fedlite.rollout.ranking import Standing

    Summary = dict[str, Any]


@dataclass(frozen=True)
class RankedPlan:
    """A rehearsed plan, where its page is, and how it stands."""

    path: Path
    summary: Summary
    standing: Standing
    unbeaten: bool


def of_plans(finished: Sequence[tuple[Path, Summary]]) -> list[RankedPlan]:
    """Return rehearsed plans, the fastest first. Plans of one name are told apart by their directories."""
    names = [summary["name"] for _, summary in finished]
    stands = [
        standing(summary, summary["name"] if names.count(summary["name"]) == 1 else str(path.name))
        for path, summary in finished
    ]
    # Same names and numbers: which is which does not matter.
    places = {id(stand): place for place, stand in enumerate(stands)}
    return [RankedPlan(*finished[places[id(one)]], one, unbeaten) for one, unbeaten in ranked(stands)]


def write_rollout_comparison(plans: Sequence[RankedPlan], out: Path) -> Path:
    """Write the page of plans side by side and return where it is."""
    return write_page(comparison_page(plans), out)


def comparison_page(plans: Sequence[RankedPlan]) -> Page:
    """Return the page."""
    return Page(
        title=listed([plan.standing.name for plan in plans], 5),
        kind=f"{plural(len(plans), 'rollout plan')} side by side",
        answer=_answer(plans),
        tiles=[],
        sections=[
            Section(
                "plans", "Speed against danger", "Each plan is judged by its slowest good world and its worst bad one.",
                [pareto([_plotted(plan) for plan in plans]), ranking_table(plans)],
            ),
            Section("pages", "The plans", "Where each of them is told in full.", [_pages(plans)]),
        ],
    )  # fmt: skip


def ranking_table(plans: Sequence[RankedPlan]) -> TextTable:
    """Return the ranking as the terminal shows it, too."""
    return standings_table([(plan.standing, "yes" if plan.unbeaten else "no") for plan in plans], "unbeaten")


def standings_table(rows: Sequence[tuple[Standing, str]], last: str) -> TextTable:
    """Return plans with what they are judged by; the last column is the caller's own."""
    told = tuple(
        (
            one.name, NEVER if math.isinf(one.time_s) else quantity(one.time_s, "time"), count(one.blast_devices),
            percent(one.detect, 0), percent(one.false_abort, 0), quantity(one.delivery_j, "energy"),
            quantity(one.metered_bytes, "bytes"), word,
        )
        for one, word in rows
    )  # fmt: skip
    head = ("plan", "95 % after", "bad hits", "caught", "false", "radio", "paid", last)
    return TextTable("Plans, the fastest first", head, told, frozenset(range(1, 7)))


def _plotted(plan: RankedPlan) -> Plotted:
    slow, worst = slowest(plan.summary), most_dangerous(plan.summary)
    never: Band = {"p5": None, "p50": None, "p95": None}
    nobody: Band = {"p5": 0.0, "p50": 0.0, "p95": 0.0}
    return Plotted(
        plan.standing.name, plan.unbeaten,
        never if slow is None else slow["time_to_95_of_reachable_s"],
        nobody if worst is None else worst["blast_radius"]["devices"],
        {"energy": plan.standing.delivery_j, "bytes": plan.standing.metered_bytes},
    )  # fmt: skip


def _answer(plans: Sequence[RankedPlan]) -> Safe:
    fastest, safest = plans[0].standing, min(plans, key=lambda plan: plan.standing.blast_devices).standing
    if math.isinf(fastest.time_s):
        said: list[Safe | str] = ["No plan brings the new model to 95 % of the devices that can be let in."]
    else:
        said = [tag("strong", fastest.name), " is the fastest: 95 % of the devices that can be let in after ",
                tag("strong", quantity(fastest.time_s, "time")), "."]  # fmt: skip
    said += [" ", tag("strong", safest.name), " lets a bad build reach the fewest devices: no more than ",
             tag("strong", count(safest.blast_devices)), " in nineteen rehearsals of twenty."]  # fmt: skip
    beaten = [plan.standing.name for plan in plans if not plan.unbeaten]
    if beaten:
        said.append(f" Another plan is at least as fast, as safe by this number and as cheap as {listed(beaten)}.")
    return safe_join(said)


def _pages(plans: Sequence[RankedPlan]) -> TextTable:
    rows = tuple(
        (
            plan.standing.name, str(plan.path / "report.html"), count(plan.summary["replications"]),
            count(plan.summary["devices"]), str(plan.summary["seed"]),
        )
        for plan in plans
    )  # fmt: skip
    head = ("Plan", "Page", "Rehearsals of a world", "Devices", "Seed")
    return TextTable("Rehearsed for this page", head, rows, frozenset({2, 3, 4}))
