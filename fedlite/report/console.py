"""A run on a terminal: its key numbers, and how its jobs ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fedlite.report import failures, tables
from fedlite.report.answer import answer, metric, remark, tiles
from fedlite.report.chapters import outcome_words
from fedlite.report.figures import calendar
from fedlite.report.markup import plain
from fedlite.report.run_data import RunData, read_run
from fedlite.report.words import count, percent

if TYPE_CHECKING:
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
        Text(""),
        numbers,
        Text(""),
        ended,
        *_calendar(run),
        *(Text(line, style="yellow") for line in failures.lines(run.summary)),
    )


def _calendar(run: RunData) -> list[Table | Text]:
    """Return what the campaign asks of its users, where devices checked in."""
    told = calendar.for_users(run.summary.get("calendar"), metric(run.summary, "time_to_target_s"))
    return [] if told is None else [Text(""), rich_table(told)]


def rich_table(content: TextTable) -> Table:
    """Return one of the report's tables for a terminal."""
    shown = Table(title=Text(content.caption), title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column, name in enumerate(content.head):
        shown.add_column(Text(name), justify="right" if column in content.numeric else "left")
    for row in content.rows:
        shown.add_row(*(Text(_written(cell)) for cell in row))
    return shown


def _written(cell: Any) -> str:
    return "" if cell is None else plain(cell)
