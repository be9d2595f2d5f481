"""The page of one run: the answer first, then what it cost, whom, and what the model does not know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from fedlite.report import tables
from fedlite.report.answer import answer, judged, metric, remark, tiles
from fedlite.report.chapters import (
    downloads,
    excluded,
    honesty,
    outcomes,
    privacy,
    reproduction,
    scenario,
    secure_aggregation,
    server,
)
from fedlite.report.failures import failures
from fedlite.report.figures import (
    battery,
    calendar,
    fairness,
    job_energy,
    job_time,
    learning,
    participation,
    rounds,
    traffic,
)
from fedlite.report.markup import Safe, tag
from fedlite.report.page import Page, Section, write_page
from fedlite.report.plan_chapter import delivered, inference, plans, rejected
from fedlite.report.run_data import RunData, read_run
from fedlite.report.run_sets import settings
from fedlite.report.words import plural, quantity

if TYPE_CHECKING:
    from pathlib import Path

    from fedlite.report.figure import Figure


@dataclass(frozen=True)
class Aggregates:
    """What several chapters of a run's page need, each computed once."""

    run: RunData

    @cached_property
    def column(self) -> str:
        """How device classes are told apart."""
        return tables.class_column(self.run.fleet)

    @cached_property
    def jobs(self) -> pl.LazyFrame:
        """The jobs that the distributions are about."""
        return tables.main_jobs(self.run.clients)

    @cached_property
    def curve(self) -> pl.DataFrame:
        """The learning curve."""
        return tables.learning_curve(self.run.rounds, self.run.main)

    @cached_property
    def classes(self) -> pl.DataFrame:
        """Sums and means of training jobs by class."""
        return tables.by_class(self.jobs, self.column)

    @cached_property
    def outcomes(self) -> pl.DataFrame:
        """How the jobs ended."""
        return tables.outcome_counts(self.jobs)

    @cached_property
    def everything(self) -> pl.DataFrame:
        """Sums of all jobs by class, evaluation included."""
        return tables.by_class(self.run.clients, self.column)


def write_report(run_dir: Path, path: Path | None = None) -> Path:
    """Write `report.html` of a finished run and return where it is.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    path : Path, optional
        Where to write; `run_dir/report.html` if not given.

    Raises
    ------
    NotARunError
        If the directory is not a finished run of this version.
    """
    run = read_run(run_dir)
    return write_page(run_page(run), path or run_dir / "report.html")


def run_page(run: RunData) -> Page:
    """Return the page of a run."""
    found = Aggregates(run)
    return Page(
        title=_title(run),
        kind="A federated campaign, simulated",
        answer=answer(run.summary, run.metrics),
        remark=remark(run.summary, found.outcomes, run.fleet),
        tiles=tiles(run.summary, run.metrics, found.outcomes, run.fleet),
        sections=[
            Section("failures", "What went wrong", None, [failures(run.summary)]),
            _learning(found),
            _participation(found),
            _calendar(found),
            _cost(found),
            _fairness(found),
            Section("privacy", "Privacy", None, [privacy(run), secure_aggregation(run.summary)]),
            Section(
                "plans",
                "Plans by device class",
                None,
                [
                    plans(
                        run.fleet, found.jobs, run.summary.get("plan_remarks") or {}, run.manifest.get("model_values")
                    ),
                    rejected(run.summary),
                    downloads(run.summary),
                    delivered(run.summary, run.metrics),
                    inference(run.summary),
                ],
            ),
            honesty(found.everything, run, found.column),
            Section("reproduce", "Reproduce", None, [reproduction(run), scenario(run.scenario)]),
        ],
    )


def _title(run: RunData) -> str:
    """The heading that the scenario asks for, else its name."""
    asked = settings(run).get("report.title", "")
    return run.name if asked in {"", "null"} else asked


def _learning(found: Aggregates) -> Section:
    lead = "How good the model became, and what that had cost at each step."
    metric = found.run.main
    blocks = [
        learning.against_costs(found.curve, metric, judged(found.run.summary)),
        learning.targets(found.curve, metric),
    ]
    return Section("learning", "Learning", lead, blocks)


def _participation(found: Aggregates) -> Section:
    lead = "Which devices trained the model, which failed on the way, and which were never able to."
    blocks = [
        participation.by_class(found.classes, found.run.fleet, found.column),
        outcomes(found.outcomes),
        excluded(found.run.fleet),
        rounds.over_time(found.run.rounds),
    ]
    return Section("participation", "Participation", lead, blocks)


def _calendar(found: Aggregates) -> Section:
    lead = "When the campaign runs, how long it takes, and what its users notice."
    summary = found.run.summary
    told = summary.get("calendar")
    blocks = [calendar.over_the_day(told), calendar.for_users(told, metric(summary, "time_to_target_s"))]
    return Section("calendar", "Calendar", lead, blocks)


def _cost(found: Aggregates) -> Section:
    arrived = found.jobs.filter(pl.col("outcome") == "arrived")
    column = found.column
    blocks = [
        job_time.by_class(
            tables.spread(arrived, tables.JOB_TIME, column),
            found.classes,
            tables.last_in_round(found.jobs, column),
            column,
        ),
        job_energy.by_class(tables.spread(found.jobs, pl.col("energy_j"), column), found.classes, column),
        _battery(found),
        traffic.by_class(found.everything, column),
    ]
    lead = _burden(tables.burden(found.run.clients))
    if told := found.run.summary.get("calendar"):
        lead += f" Check-ins cost {quantity(told['check_in_j'], 'energy')} beside that."
    return Section("cost", "Cost", " ".join([lead, *server(found.run.summary)]), blocks)


def _battery(found: Aggregates) -> Figure | Safe | None:
    levels = tables.battery_levels(found.jobs, found.column)
    drawn = battery.by_class(tables.spread(found.jobs, tables.CHARGE_USED, found.column), levels, found.column)
    if drawn is None and levels.height:
        return tag(
            "div", "Batteries: no job drew from one; every device with a battery was on its charger.", class_="card"
        )
    return drawn


def _burden(bearers: pl.DataFrame) -> str:
    row = bearers.row(0, named=True)
    if not row["devices"]:
        return "No device bore any cost."
    return (
        f"What the jobs cost, by device class. Over the whole run a device that took part spent "
        f"{quantity(row['energy_j_median'], 'energy')} in the median and {quantity(row['energy_j_most'], 'energy')} at "
        f"most, in at most {plural(row['jobs_most'], 'job')}."
    )


def _fairness(found: Aggregates) -> Section:
    lead = "A model that is good on average may fail some of the people it is for."
    evaluation = found.run.evaluation
    metric = found.run.main
    by_class = tables.metric_by_class(evaluation, found.run.clients, metric, found.column)
    return Section("fairness", "Fairness", lead, [fairness.across_clients(evaluation, by_class, found.column, metric)])
