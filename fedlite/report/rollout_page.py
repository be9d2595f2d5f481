"""The page of a rehearsed rollout: who gets the model when, who never does, what gates catch, whom bad ones reach."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from fedlite.report.figure import TextTable
from fedlite.report.figures import (
    rollout_blast,
    rollout_bytes,
    rollout_classes,
    rollout_costs,
    rollout_course,
    rollout_coverage,
    rollout_flows,
    rollout_gates,
    rollout_reasons,
    rollout_timeline,
    rollout_watched,
)
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import Page, Section, write_page
from fedlite.report.rollout_answer import answer, remark, tiles
from fedlite.report.rollout_data import PLAN, read_rollout
from fedlite.report.rollout_rows import rows
from fedlite.report.run_data import fitting
from fedlite.report.words import count, quantity

if TYPE_CHECKING:
    from pathlib import Path

    from fedlite.report.rollout_data import RolloutData


def write_rollout_report(path: Path, out: Path | None = None) -> Path:
    """Write `report.html` of a rehearsed rollout and return where it is.

    Parameters
    ----------
    path : Path
        The directory that `fedlite rollout` wrote.
    out : Path, optional
        Where to write; `path/report.html` if not given.

    Raises
    ------
    FedliteError
        If the directory does not hold a finished one of this version, or a file of it is damaged.
    """
    with fitting(path, what="rollout", remedy="rehearse the plan again"):
        return write_page(rollout_page(read_rollout(path)), out or path / "report.html")


def rollout_page(data: RolloutData) -> Page:
    """Return the page."""
    return Page(
        title=data.name,
        kind="A fleet rollout, rehearsed",
        answer=answer(data),
        remark=remark(data),
        tiles=tiles(data),
        sections=[
            _worlds(data),
            Section(
                "coverage-chapter", "Coverage", "Who runs the new model when, and what became of everybody else.",
                [rollout_coverage.of_fleet(data), rollout_coverage.by_class(data), rollout_course.over_time(data),
                 rollout_reasons.of_worlds(data)],
            ),
            Section(
                "gates-chapter", "Gates", "When each step began, what stopped it, and what the gates are able to see.",
                [rollout_timeline.by_world(data), rollout_gates.operating_curves(data), _gates(data),
                 rollout_watched.over_time(data),
                 rollout_blast.over_rehearsals(data)],
            ),
            Section(
                "classes", "Device classes", "What each class is given, and what that does to accuracy and battery.",
                [rollout_flows.variants(data), rollout_classes.accuracy(data), rollout_classes.battery(data)],
            ),
            Section(
                "cost", "Cost", _energy(data),
                [rollout_bytes.by_world(data), rollout_costs.device_and_server(data)],
            ),
            Section("reproduce", "Reproduce", None, [_reproduction(data)]),
        ],
    )  # fmt: skip


def worlds_table(data: RolloutData) -> TextTable:
    """Return what each world came to, as the terminal tells it."""
    told = data.summary["worlds"]
    content = tuple((row.name.capitalize(), *(row.tell(world).line for world in told)) for row in rows(told))
    head = ("", *(world["name"] for world in told))
    caption = (
        f"{count(data.summary['replications'])} rehearsals of {count(data.devices_of())} devices in each world: "
        "median (5 to 95 %)"
    )
    return TextTable(caption, head, content, frozenset(range(1, len(head))))


def _worlds(data: RolloutData) -> Section:
    table = worlds_table(data)
    text = tag("details", tag("summary", "The table as text, to paste"), tag("pre", as_text(table)), class_="card")
    return Section("worlds", "Worlds", "What the plan comes to in each world that it names.", [table, text])


def as_text(table: TextTable) -> str:
    """Return a table in Markdown, aligned, so that it reads well as it is, too."""
    lines = [[str(cell or "") for cell in row] for row in (table.head, *table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.head))]
    sides = [
        "-" * (width - (i in table.numeric)) + (":" if i in table.numeric else "") for i, width in enumerate(widths)
    ]
    lines.insert(1, sides)
    written = (
        (cell.rjust(width) if i in table.numeric else cell.ljust(width))
        for line in lines
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    cells = list(written)
    number = len(widths)
    rows_ = ["| " + " | ".join(cells[i : i + number]) + " |" for i in range(0, len(cells), number)]
    return "\n".join([table.caption, "", *rows_])


def _gates(data: RolloutData) -> TextTable | None:
    """Return the table of gates where no curve is drawn that has it already."""
    return None if data.summary["curves"] else rollout_gates.table(data)


def _energy(data: RolloutData) -> str:
    world = data.worlds[0].told
    parts = {name: quantity(world["energy"][f"{name}_j"]["p50"], "energy") for name in ("delivery", "inference")}
    return (
        f"In the {world['name']} world downloads cost the devices {parts['delivery']} in all, inference with the new "
        f"model until the horizon {parts['inference']}."
    )


def _reproduction(data: RolloutData) -> Safe:
    command = f"fedlite rollout {shlex.quote(str(data.path / PLAN))}"
    facts = (
        ("Command", tag("code", command, class_="long")),
        ("Seed", str(data.summary["seed"])),
        ("Rehearsals", f"{count(data.summary['replications'])} of each world"),
        ("Horizon", quantity(data.summary["horizon_s"], "time")),
        ("Fleet", ", ".join(f"{name} {count(devices)}" for name, devices in data.classes.items())),
    )
    pairs = (safe_join((tag("dt", name), tag("dd", value))) for name, value in facts)
    plan = tag("details", tag("summary", "The plan, every default written out"), tag("pre", data.plan))
    return tag("div", tag("dl", *pairs, class_="facts"), plan, class_="card")
