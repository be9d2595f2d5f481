"""The page of a study: trade-off fronts over settings, with bands over seeds."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import polars as pl

from fedlite.report import measure, run_sets, tables
from fedlite.report.failed_runs import failed_table
from fedlite.report.figure import TextTable
from fedlite.report.figures import fronts
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.noise import FEWEST
from fedlite.report.page import Page, Section, table, write_page
from fedlite.report.study_data import read_study
from fedlite.report.study_tables import apart_table, dearer_table, interval_text, same_result_table, settings_table
from fedlite.report.words import NOTHING, decimal, listed, plural, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.report.run_data import RunData
    from fedlite.report.study_data import FailedRun, Study, StudyRun
    from fedlite.report.trade_off import TradeOffs


SIGMAS: Final = 1.96
"""Standard errors to each side that hold 95 % of a mean of many rows."""


def write_study_page(
    runs: Sequence[StudyRun],
    path: Path,
    *,
    name: str = "A study",
    failed: Sequence[FailedRun] = (),
    axes: Sequence[str] = (),
) -> Path:
    """Write the page of a study and return its path.

    Parameters
    ----------
    runs : sequence of (label, seed, run directory)
        The label names the setting; runs of one label differ in their seed.
    path : Path
        The HTML file to write.
    name : str
        The heading.
    failed : sequence of (label, seed, message)
        Runs without a result, and why.
    axes : two names, optional
        Values of the summary that are wanted against each other.
    """
    study = read_study(runs, axes)
    return write_page(study_page(study, path, name, failed), path)


def study_page(study: Study, path: Path, name: str, failed: Sequence[FailedRun] = ()) -> Page:
    """Return the page of a study that will stand at `path` (links to the runs are relative to it)."""
    metric = study.metric
    curves: dict[str, list[pl.DataFrame]] = {}
    for text, run in zip(study.labels, study.runs, strict=True):
        curves.setdefault(text, []).append(tables.learning_curve(run.rounds, metric))
    kind = f"{plural(study.settings.height, 'setting')}, {plural(len(study.runs), 'run')}"
    lost = len({label for label, _, _ in failed})
    return Page(
        title=name,
        kind=f"A study: {kind}"
        + (f"; {plural(len(failed), 'run')} of {plural(lost, 'setting')} failed" if lost else ""),
        answer=_answer(study),
        tiles=[],
        sections=[
            Section(
                "fronts",
                "Trade-offs",
                None,
                [
                    fronts.fronts(study.settings, study.trade_offs, study.axes),
                    _failures(failed),
                    _card(settings_table(study), prose=True),
                    _optional(apart_table(study.trade_offs)),
                    _optional(same_result_table(study)),
                    _optional(dearer_table(study)),
                ],
            ),
            Section("curves", "Learning", None, [fronts.curves(curves, metric)]),
            Section("differences", "What the settings change", None, [_differences(study)]),
            Section("runs", "Every run", None, [_untested(study), _runs(study, path)]),
        ],
    )


def _answer(study: Study) -> Safe:
    trade_offs, metric = study.trade_offs, study.metric
    leader = trade_offs.leader
    if leader is None:
        return safe_join(["None of these runs was evaluated, so only their costs can be compared."])
    row = study.settings.row(by_predicate=pl.col("label") == leader, named=True)
    mean = "highest" if metric.goal == "max" else "lowest"
    # Means over unequal seeds are of different runs: the leader's need not be the highest of them.
    how = (
        f" has the best {measure.words(metric)}: "
        if trade_offs.best
        else f" has the {mean} mean {measure.words(metric)}: "
        if trade_offs.has_same_seeds
        else f" is ahead on the seeds that it shares with others, with a mean {measure.words(metric)} of "
    )
    said: list[Safe | str] = [
        tag("strong", leader),
        how,
        tag("strong", measure.text(metric, row[metric.name])),
        f" ({interval_text(metric, row) or plural(row['tested'], 'seed')}).",
        *_how_sure(trade_offs, leader),
        *_without_result(study),
        *_tested_on(study),
    ]
    fronts_of = [trade_offs.front(cost.column) for cost in fronts.COSTS]
    everywhere = [text for text in fronts_of[0] if all(text in found for found in fronts_of)]
    said.append(
        f" On the front for bytes, energy and time alike: {listed(everywhere, 5)}."
        if everywhere
        else " No setting is on all three fronts."
    )
    return safe_join(said)


def _how_sure(trade_offs: TradeOffs, leader: str) -> list[str]:
    """Say whether the leader may be called best."""
    if not [label for label in trade_offs.labels if label != leader]:
        return []
    fewest, most = trade_offs.seeds_of_leader
    seeds = plural(most, "seed") if fewest == most else f"the {fewest} to {most} seeds that both have"
    if trade_offs.best:
        return [f" It is told apart from all others on {seeds}."]
    if most < FEWEST:
        few = "one seed" if most == 1 else plural(most, "seed")
        return [f" From {few} nothing is told apart: run three or more, such as 'seeds: [1, 2, 3]'."]
    level = trade_offs.level_with_leader
    return [
        f" It is not told apart from {listed(level, 5)} on {seeds}."
        if level
        else f" On {seeds} it is told apart from each of the others, but not from all of them at once."
    ]


def _without_result(study: Study) -> list[str]:
    found = study.untested
    return [f" Mind: {plural(len(found), 'run')} diverged or came to nothing, listed below."] if found else []


def _tested_on(study: Study) -> list[str]:
    """Say on which rows the runs were tested, and what the draw of a part of them leaves open."""
    whose = study.scored_on
    if len(whose) > 1:
        each = [one or "data that records nobody" for one in whose]
        return [f" Mind: these runs were not tested alike, but on {listed(each)}."]
    return [f" Tested on {one}.{_other_rows(study)}" for one in whose if one]


def _other_rows(study: Study) -> str:
    """Say by how much other rows of the test set might move an accuracy, of which no interval over seeds knows."""
    drawn = [one for run in study.runs if (one := run.summary.get("test_rows")) and one["tested"] < one["all"]]
    if not drawn:
        return ""
    rest = " The intervals are over seeds, all on the same rows"
    values = [value for value in study.settings[study.metric.name] if value is not None]
    if study.metric.name != "accuracy":
        return f"{rest}: what other rows would give is in none of them."
    # Of shares the one nearest to a half moves most; rows are drawn without putting back.
    tested, every = drawn[0]["tested"], drawn[0]["all"]
    widest = min(values, key=lambda value: abs(value - 0.5))
    error = math.sqrt(widest * (1 - widest) / tested * (every - tested) / (every - 1))
    return f"{rest}: others would move an accuracy by up to {100 * SIGMAS * error:.1f} points (95 %)."


def _optional(content: TextTable | None) -> Safe | None:
    return None if content is None else _card(content, prose=True)


def _card(content: TextTable, *, prose: bool = False) -> Safe:
    return tag("div", table(content, prose=prose), class_="card")


def _differences(study: Study) -> Safe | None:
    firsts = dict(reversed(list(zip(study.labels, study.runs, strict=True))))
    names = list(dict.fromkeys(study.labels))
    rows = run_sets.difference([firsts[text] for text in names], ignore=frozenset({"name", "seed"}))
    if not rows:
        return None
    # One row per setting of the study: there are more of these than keys that change.
    columns = list(zip(*(row[1:] for row in rows), strict=True))
    body = tuple((text, *(value or NOTHING for value in values)) for text, values in zip(names, columns, strict=True))
    return _card(TextTable("Keys of the scenario that differ", ("Setting", *(row[0] for row in rows)), body))


def _runs(study: Study, path: Path) -> Safe:
    rows = tuple(
        (
            _link(run, path),
            text,
            str(seed),
            measure.text(study.metric, row[study.metric.name]),
            quantity(row["up_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
            quantity(row["virtual_time_s"], "time"),
            decimal(row["carbon_g"]),
        )
        for text, seed, run, row in zip(
            study.labels, study.seeds, study.runs, study.rows.iter_rows(named=True), strict=True
        )
    )
    head = ("Run", "Setting", "Seed", measure.heading(study.metric), "Uplink", "Energy", "Virtual time", "Carbon (g)")
    return _card(TextTable("Every run", head, rows, frozenset(range(2, 8))))


def _failures(failed: Sequence[FailedRun]) -> Safe | None:
    content = failed_table(failed)
    return None if content is None else tag("div", table(content, prose=True), class_="card warn", id="failed")


def _untested(study: Study) -> Safe | None:
    """Warn of runs that finished with nothing to show: a mean over the others is that of the lucky ones."""
    if study.trade_offs.leader is None or not study.untested:
        return None
    name = measure.words(study.metric)
    rows = tuple((text, str(seed), why or f"its {name} is no number") for text, seed, why in study.untested)
    caption = f"Runs that diverged or came to nothing; means are of those that have a finite {name}"
    content = TextTable(caption, ("Setting", "Seed", "Why"), rows, frozenset({1}))
    return tag("div", table(content, prose=True), class_="card warn", id="diverged")


def _link(run: RunData, path: Path) -> Safe:
    report = run.path / "report.html"
    if not report.is_file():
        return safe_join([run.path.name])
    target = Path(os.path.relpath(report.resolve(), path.resolve().parent)).as_posix()
    return tag("a", run.path.name, href=quote(target))
