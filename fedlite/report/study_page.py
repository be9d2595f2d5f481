"""The page of a study: trade-off fronts over settings, with bands over seeds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl

from fedlite.errors import FedliteError
from fedlite.report import measure, run_sets, tables
from fedlite.report.figure import TextTable
from fedlite.report.figures import fronts
from fedlite.report.markup import Safe, safe_join, tag
from fedlite.report.page import Page, Section, table, write_page
from fedlite.report.run_data import RunData, read_run
from fedlite.report.shipped import shipped_metric
from fedlite.report.words import NOTHING, band, count, decimal, listed, plural, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedlite.learning.objectives import Metric

StudyRun = tuple[str, int, Path]
"""Label of the setting, seed, run directory."""
FailedRun = tuple[str, int, str]
"""Label of the setting, seed, what went wrong."""


class EmptyStudyError(FedliteError):
    """A study without a single finished run has no page."""


@dataclass(frozen=True)
class Study:
    """The finished runs of a study and what is derived from them."""

    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[RunData, ...]
    rows: pl.DataFrame
    """`run_sets.totals` of every run with its label; the main metric is that of what devices get."""
    settings: pl.DataFrame
    """`run_sets.over_seeds`: one row per label."""
    metric: Metric
    """By which the runs are compared."""


def read_study(runs: Sequence[StudyRun]) -> Study:
    """Read the runs of a study.

    Raises
    ------
    EmptyStudyError
        If there are none.
    NotARunError
        If a directory is not a finished run of this version.
    """
    if not runs:
        raise EmptyStudyError("got no finished run, expected at least one; run the study first")
    found = tuple(read_run(path) for _, _, path in runs)
    labels = tuple(text for text, _, _ in runs)
    rows = run_sets.totals(found, [path.name for _, _, path in runs]).with_columns(
        pl.Series("label", labels, dtype=pl.String)
    )
    metric = run_sets.metric_of(found)
    rows = rows.with_columns(_shipped(found, rows, metric))
    seeds = tuple(seed for _, seed, _ in runs)
    return Study(labels, seeds, found, rows, run_sets.over_seeds(rows, metric), metric)


def _shipped(runs: Sequence[RunData], rows: pl.DataFrame, metric: Metric) -> pl.Series:
    """Return the metric by which settings are compared: of what devices get, where runs tell of their main one."""
    trained = rows[metric.name].to_list()
    values = [
        shipped_metric(run) if run.main.name == metric.name else value for run, value in zip(runs, trained, strict=True)
    ]
    return pl.Series(metric.name, values, dtype=pl.Float64)


def write_study_page(
    runs: Sequence[StudyRun], path: Path, *, name: str = "A study", failed: Sequence[FailedRun] = ()
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
    """
    study = read_study(runs)
    return write_page(study_page(study, path, name, failed), path)


def study_page(study: Study, path: Path, name: str, failed: Sequence[FailedRun] = ()) -> Page:
    """Return the page of a study that will stand at `path` (links to the runs are relative to it)."""
    metric = study.metric
    curves: dict[str, list[pl.DataFrame]] = {}
    for text, run in zip(study.labels, study.runs, strict=True):
        curves.setdefault(text, []).append(tables.learning_curve(run.rounds, metric))
    kind = f"{plural(study.settings.height, 'setting')}, {plural(len(study.runs), 'run')}"
    return Page(
        title=name,
        kind=f"A study: {kind}",
        answer=_answer(study.settings, metric),
        tiles=[],
        sections=[
            Section(
                "fronts",
                "Trade-offs",
                None,
                [fronts.fronts(study.settings, metric), _card(settings_table(study.settings, metric))],
            ),
            Section("curves", "Learning", None, [fronts.curves(curves, metric)]),
            Section("differences", "What the settings change", None, [_differences(study)]),
            Section("runs", "Every run", None, [_failures(failed), _runs(study, path)]),
        ],
    )


def _answer(settings: pl.DataFrame, metric: Metric) -> Safe:
    known = settings.drop_nulls(metric.name).sort(metric.name, descending=metric.goal == "max")
    if known.is_empty():
        return safe_join(["None of these runs was evaluated, so only their costs can be compared."])
    best = known.row(0, named=True)
    said: list[Safe | str] = [
        tag("strong", best["label"]),
        f" has the best {measure.words(metric)} with ",
        tag("strong", measure.text(metric, best[metric.name])),
        f" (mean of {plural(best['seeds'], 'seed')}). ",
    ]
    everywhere = [
        text
        for text in fronts.winners(known, "up_bytes", metric)
        if all(text in fronts.winners(known, c, metric) for c in run_sets.COSTS)
    ]
    said.append(
        f"On the front for bytes, energy and time alike: {listed(everywhere, 5)}."
        if everywhere
        else "No setting is on all three fronts."
    )
    return safe_join(said)


def settings_table(settings: pl.DataFrame, metric: Metric) -> TextTable:
    """Return the settings of a study as text: means over seeds, ranges, and the fronts each lies on."""
    best = {name.lower(): set(fronts.winners(settings, column, metric)) for name, column, _, _ in fronts.FRONTS}
    aimed = settings["reached"].count() > 0
    rows = tuple(
        (
            row["label"],
            count(row["seeds"]),
            measure.text(metric, row[metric.name]),
            _range(metric, row[f"{metric.name}_min"], row[f"{metric.name}_max"]),
            quantity(row["up_bytes"], "bytes"),
            quantity(row["energy_j"], "energy"),
            band(row["energy_low_j"], row["energy_high_j"], "energy") or NOTHING,
            quantity(row["virtual_time_s"], "time"),
            *([_to_target(row)] if aimed else []),
            _fronts([name for name, found in best.items() if row["label"] in found]),
        )
        for row in settings.sort(
            metric.name, descending=metric.goal == "max", nulls_last=True, maintain_order=True
        ).iter_rows(named=True)
    )
    head = (
        "Setting",
        "Seeds",
        measure.heading(metric),
        "Over seeds",
        "Uplink",
        "Energy",
        "Energy band",
        "Virtual time",
        *(["To the target"] if aimed else []),
        "On the front of",
    )
    return TextTable("Settings, means over their seeds", head, rows, frozenset(range(1, len(head) - 1)))


def _to_target(row: dict[str, Any]) -> str:
    """Say when the server's model was as good as wanted, or in how many of the seeds it was."""
    if row["time_to_target_s"] is not None:
        return quantity(row["time_to_target_s"], "time")
    return NOTHING if row["reached"] is None else f"{row['reached']} of {plural(row['seeds'], 'seed')}"


def _fronts(names: Sequence[str]) -> str:
    return "all three" if len(names) == len(fronts.FRONTS) else ",\u00a0".join(names) or NOTHING


def _range(metric: Metric, low: float | None, high: float | None) -> str:
    if low is None or high is None or low == high:
        return NOTHING
    return f"{measure.text(metric, low)} to {measure.text(metric, high)}"


def _card(content: TextTable) -> Safe:
    return tag("div", table(content), class_="card")


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
    if not failed:
        return None
    rows = tuple((text, str(seed), message) for text, seed, message in failed)
    content = TextTable("Runs that failed; they are missing above", ("Setting", "Seed", "Why"), rows, frozenset({1}))
    return tag("div", table(content, prose=True), class_="card warn", id="failed")


def _link(run: RunData, path: Path) -> Safe:
    report = run.path / "report.html"
    if not report.is_file():
        return safe_join([run.path.name])
    target = Path(os.path.relpath(report.resolve(), path.resolve().parent)).as_posix()
    return tag("a", run.path.name, href=quote(target))
