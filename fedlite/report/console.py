"""A run on a terminal: its key numbers, and how its jobs ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from fedlite.report import failures, measure, tables
from fedlite.report.answer import answer, metric, remark, tiles
from fedlite.report.chapters import outcome_words, server
from fedlite.report.figures import calendar
from fedlite.report.markup import plain
from fedlite.report.run_data import RunData, read_run
from fedlite.report.words import capitalised, count, percent, plural, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fedlite.report.figure import TextTable


def summary_table(run_dir: Path) -> Group:
    """Return a finished run as a rich renderable: the answer, the key numbers, the outcomes with advice.

    Raises
    ------
    NotARunError
        If the directory is not a finished run of this version.
    """
    return summary(read_run(run_dir))


def summary(run: RunData) -> Group:
    """Return a run as a rich renderable."""
    outcomes = tables.outcome_counts(tables.main_jobs(run.clients))
    numbers = Table.grid(padding=(0, 3))
    for tile in tiles(run.summary, run.metrics, outcomes, run.fleet):
        numbers.add_row(Text(tile.name, style="dim"), Text(tile.value, style="bold"), Text(tile.note, style="dim"))
    ended = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name, side in (("Outcome", "left"), ("Jobs", "right"), ("Share", "right"), ("", "left")):
        ended.add_column(name, justify=side)  # type: ignore[arg-type]  # rich's literal of four words
    for row in outcomes.iter_rows(named=True):
        name, advice = outcome_words(row["outcome"])
        ended.add_row(Text(name), count(row["jobs"]), percent(row["share"]), Text(advice, style="dim"))
    return Group(
        Text(run.name, style="bold"),
        Text(plain(answer(run.summary, run.metrics))),
        Text(plain(remark(run.summary, outcomes, run.fleet)).replace(" (why)", ""), style="dim"),
        *_excluded(run),
        Text(""),
        numbers,
        Text(""),
        ended,
        *(Text(line) for line in server(run.summary)),
        *_chosen(run),
        *_delivered(run),
        *_calendar(run),
        *(Text(line, style="yellow") for line in failures.lines(run.summary)),
    )


def _excluded(run: RunData) -> list[Text]:
    """Return why each class that cannot take part cannot."""
    told = run.summary.get("excluded") or []
    return [Text(f"{one['profile']} ({plural(one['devices'], 'device')}): {one['reason']}", "dim") for one in told]


def _chosen(run: RunData) -> list[Text]:
    """Return why each class has the plan that fedlite chose for it."""
    told = run.summary.get("auto") or []
    return [Text("")] * bool(told) + [
        Text(
            f"auto, {one['profile']}: {capitalised(one['reason'])} ({plural(len(one['rejected']), 'plan')} not chosen)"
        )
        for one in told
    ]


def _delivered(run: RunData) -> list[Text]:
    """Return what is shipped under each plan, and how good it is, where that is not the trained model."""
    told = run.summary.get("delivered") or []
    return [Text("")] * bool(told) + [
        Text(
            f"Nothing can be shipped under {one['plan']}{_chosen_for(one)}: {one['why']}"
            if "why" in one
            else f"Shipped under {one['plan']}{_chosen_for(one)}: {quantity(one['stored_bytes'], 'bytes')}, "
            f"{measure.phrase(run.main, one['metrics'][run.main.name])}"
        )
        for one in told
    ]


def _chosen_for(one: dict[str, Any]) -> str:
    """Return for which classes a plan was chosen job by job, in brackets; nothing for a plan that all jobs follow."""
    chosen = one.get("by_most_jobs")
    return f" (the plan of most of the jobs of {', '.join(chosen)})" if chosen else ""


def _calendar(run: RunData) -> list[Table | Text]:
    """Return what the campaign asks of its users, where devices checked in."""
    told = calendar.for_users(run.summary.get("calendar"), metric(run.summary, "time_to_target_s"))
    if told is None:
        return []
    shown = Table.grid(padding=(0, 3))
    for row in (told.head, *told.rows):
        shown.add_row(*(Text(str(cell)) for cell in row))
    return [Text(""), Text(told.caption, style="dim"), shown]


def rich_table(content: TextTable, width: int) -> Table:
    """Return one of the report's tables for a terminal of so many characters; what does not fit is folded, never cut.

    Numbers, or else the names in the first column, are broken between words as long as there is room for that.
    """
    shown = Table(title=Text(content.caption), title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="dim")
    rows = [[_written(cell) for cell in row] for row in content.rows]
    columns = list(zip(content.head, *rows, strict=True))
    whole = content.numeric or {0}
    natural = [max(map(cell_len, cells)) for cells in columns]
    words = [max(cell_len(word) for cell in cells for word in cell.split(" ")) for cells in columns]
    least = [found if column in whole else min(found, _LEAST) for column, found in enumerate(words)]
    for column, room in enumerate(_widths(least, natural, width - len(columns))):
        side: Any = "right" if column in content.numeric else "left"
        shown.add_column(Text(content.head[column]), justify=side, overflow="fold", width=room)
    for row in rows:
        shown.add_row(*map(Text, row))
    return shown


_LEAST = 6
"""Characters of a column whose words may be broken."""


def _widths(least: Sequence[int], natural: Sequence[int], room: int) -> list[int]:
    """Return widths that add up to at most `room`: from `least` up to `natural`, below `least` only if they must."""
    widths = list(least)
    while sum(widths) > max(room, len(widths)):
        widths[widths.index(max(widths))] -= 1
    while sum(widths) < room and widths != list(natural):
        lacking = [wanted - got for wanted, got in zip(natural, widths, strict=True)]
        widths[lacking.index(max(lacking))] += 1
    return widths


def _written(cell: Any) -> str:
    return "" if cell is None else plain(cell)
