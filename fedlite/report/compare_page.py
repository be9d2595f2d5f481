"""The page and the table of runs side by side: what differs between them, and what that bought."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import polars as pl

from fedlite.errors import FedliteError
from fedlite.report import measure, run_sets, tables, tails
from fedlite.report.figure import TextTable
from fedlite.report.figures import side_by_side
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import Page, Section, table, write_page
from fedlite.report.run_data import RunData, read_run
from fedlite.report.same_result import all_reached
from fedlite.report.words import NOTHING, band, decimal, listed, percent, plural, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fedlite.learning.objectives import Metric

FEWEST = 2
_MOST_NAMED: Final = 4


class TooFewRunsError(FedliteError):
    """A comparison needs two runs."""


def read_runs(run_dirs: Sequence[Path]) -> tuple[list[RunData], list[str]]:
    """Return the runs and one distinct name each.

    Raises
    ------
    TooFewRunsError
        If there are fewer than two.
    NotARunError
        If a directory is not a finished run of this version.
    """
    if len(run_dirs) < FEWEST:
        raise TooFewRunsError(
            f"got {plural(len(run_dirs), 'run directory', 'run directories')}, expected two or more; "
            "name the runs to compare"
        )
    runs = [read_run(path) for path in run_dirs]
    return runs, run_sets.distinct_names(runs)


def write_comparison(run_dirs: Sequence[Path], path: Path) -> Path:
    """Write one page of the runs side by side and return its path."""
    runs, names = read_runs(run_dirs)
    return write_page(comparison_page(runs, names), path)


def comparison_page(runs: Sequence[RunData], names: Sequence[str]) -> Page:
    """Return the page of a comparison."""
    totals = run_sets.totals(runs, names)
    metric = run_sets.metric_of(runs)
    curves = [tables.learning_curve(run.rounds, metric) for run in runs]
    even = all_reached(runs, names)
    return Page(
        title=listed(names, 5),
        kind=f"{plural(len(runs), 'run')} side by side",
        answer=safe_join([_answer(totals, even, metric), *_scored_apart(runs, names)]),
        tiles=[],
        sections=[
            Section("totals", "Totals", None, [_card(totals_table(totals, metric)), side_by_side.costs(totals)]),
            Section(
                metric.name,
                f"{measure.heading(metric)} for its cost",
                None,
                [side_by_side.curves(curves, names, metric), _even_card(even, metric)],
            ),
            Section("settings", "What differs", None, [_settings(runs, names)]),
        ],
    )


def _answer(totals: pl.DataFrame, even: pl.DataFrame, metric: Metric) -> Safe:
    evaluated = totals.filter(pl.col(metric.name).is_finite())
    if evaluated.is_empty():
        return safe_join(["None of these runs was evaluated, so only their costs can be compared."])
    said: list[Safe | str] = [
        f"{measure.heading(metric)} in the end: ",
        tag("strong", _ends(evaluated, metric)),
        ". Single runs do not tell how much of a difference is noise.",
    ]
    if even.height:
        target = measure.phrase(metric, even["target"][0], 0)
        spans = [
            f"{_span(even[column].to_list(), dimension)} {words}"
            for words, column, dimension in (
                ("up", "up_bytes", "bytes"),
                ("of energy", "energy_j", "energy"),
                ("of virtual time", "time_s", "time"),
            )
        ]
        said.append(f" To {target} they took {listed(spans)}.")
    # Said of the run that spent most on tails: what holds there is what could be saved.
    longest = totals.sort(["tail_j", "run"], descending=[True, False], nulls_last=True).row(0, named=True)
    if tails.dominates(longest):
        said.append(" " + tails.remark(longest, f"the energy of {longest['run']}"))
    return safe_join(said)


def _ends(evaluated: pl.DataFrame, metric: Metric) -> str:
    """Say what each run ended with, of very many what the first and the last of them did: whoever it be, none wins."""
    many = evaluated.height > _MOST_NAMED
    rows = evaluated.sort(metric.name)[[0, -1]] if many else evaluated
    each = [f"{row['run']} {measure.text(metric, row[metric.name])}" for row in rows.iter_rows(named=True)]
    return f"from {' to '.join(each)}" if many else listed(each)


def _span(values: Sequence[float], dimension: str) -> str:
    return band(min(values), max(values), dimension) or quantity(values[0], dimension)


def _scored_apart(runs: Sequence[RunData], names: Sequence[str]) -> list[str]:
    """Warn of runs that were tested on other people than the rest."""
    said = [str(run.summary.get("scored_on") or "") for run in runs]
    if len(set(said)) == 1:
        return []
    each = [f"{name} on {whose or 'data that records nobody'}" for name, whose in zip(names, said, strict=True)]
    return [f" Mind: these runs were not scored alike: {listed(each)}."]


def totals_table(totals: pl.DataFrame, metric: Metric) -> TextTable:
    """Return the totals of the runs as text, one run per row."""
    private, came = totals["epsilon"].is_finite().any(), totals["check_in_j"].sum() > 0
    parts = ("radio_j", "tail_j", *(["check_in_j"] if came else []))
    rows = tuple(
        (
            row["run"],
            measure.text(metric, row[metric.name]),
            quantity(row["virtual_time_s"], "time"),
            quantity(row["energy_j"], "energy"),
            band(row["energy_low_j"], row["energy_high_j"], "energy") or NOTHING,
            *(percent(row[part] / row["energy_j"] if row["energy_j"] else math.nan, 0) for part in parts),
            quantity(row["up_bytes"], "bytes"),
            quantity(row["down_bytes"], "bytes"),
            percent(row["arrived"]),
            *([decimal(row["epsilon"])] if private else []),
        )
        for row in totals.iter_rows(named=True)
    )
    head = (
        "Run",
        measure.heading(metric),
        "Virtual time",
        "Energy",
        "Energy band",
        "Radio",
        "Its tails",
        *(["Check-ins"] if came else []),
        "Uplink",
        "Downlink",
        "Arrived",
        *(["ε"] if private else []),
    )
    return TextTable("The runs", head, rows, frozenset(range(1, len(head))))


def _card(content: TextTable) -> Safe:
    return tag("div", table(content), class_="card")


def even_table(even: pl.DataFrame, metric: Metric) -> TextTable | None:
    """Return what each run had spent at the same value of the metric as text; None if there is no such value."""
    if even.is_empty():
        return None
    rows = tuple(
        (
            row["run"],
            str(row["round"]),
            quantity(row["time_s"], "time"),
            quantity(row["up_bytes"], "bytes"),
            quantity(row["down_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
            band(row["energy_low_j"], row["energy_high_j"], "energy") or NOTHING,
        )
        for row in even.iter_rows(named=True)
    )
    head = ("Run", "Round", "Virtual time", "Uplink", "Downlink", "Energy", "Energy band")
    caption = f"What {measure.phrase(metric, even['target'][0], 0)} had cost when it was first reached"
    return TextTable(caption, head, rows, frozenset(range(1, 7)))


def _even_card(even: pl.DataFrame, metric: Metric) -> Safe | None:
    content = even_table(even, metric)
    return _card(content) if content else None


def settings_table(runs: Sequence[RunData], names: Sequence[str]) -> TextTable | None:
    """Return only the settings that differ; None if all agree."""
    rows = run_sets.difference(runs)
    if not rows:
        return None
    return TextTable(
        "Settings that differ",
        ("Setting", *names),
        tuple((row[0], *(value or NOTHING for value in row[1:])) for row in rows),
    )


def _settings(runs: Sequence[RunData], names: Sequence[str]) -> Safe:
    content = settings_table(runs, names)
    if content is None:
        return tag("div", "All settings are the same.", class_="card")
    return _card(content)
