"""A finished run as people hold it in a notebook: its tables, its summary, its figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from fedlite.errors import FedliteError, UnknownNameError
from fedlite.report.page import figures_of
from fedlite.report.paper.write import Figures
from fedlite.report.run_data import DamagedRunError, check_model, fitting, read_run
from fedlite.report.run_page import run_page, write_report
from fedlite.results.frames import Tables

if TYPE_CHECKING:
    from fedlite.report.figure import Figure
    from fedlite.results.directory import RunDirectory


@dataclass(frozen=True)
class Run(Tables, Figures):
    """A finished run in its directory."""

    path: Path

    @property
    def summary(self) -> dict[str, Any]:
        """The object that `fedlite run --json` prints."""
        summary: dict[str, Any] = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))
        return summary

    @property
    def rounds(self) -> pl.DataFrame:
        """One row per round."""
        return pl.read_parquet(self.path / "rounds.parquet")

    @property
    def clients(self) -> pl.DataFrame:
        """The ledger: one row per device job."""
        return pl.read_parquet(self.path / "clients.parquet")

    @property
    def evaluation(self) -> pl.DataFrame:
        """The final model on each client's own test rows."""
        return pl.read_parquet(self.path / "evaluation.parquet")

    @property
    def fleet(self) -> pl.DataFrame:
        """One row per device class."""
        return pl.read_parquet(self.path / "fleet.parquet")

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """The tables above; `check_ins`, one row per device, too, where a protocol has them."""
        found = {"rounds": self.rounds, "clients": self.clients, "evaluation": self.evaluation, "fleet": self.fleet}
        visits = self.path / "check_ins.parquet"
        return found | ({"check_ins": pl.read_parquet(visits)} if visits.is_file() else {})

    @property
    def figures(self) -> dict[str, Figure]:
        """The figures of the report, by their ids."""
        return figures_of(run_page(read_run(self.path)))

    def plot(self, name: str = "learning", view: int = 0) -> Any:
        """Return a figure of the report as a `plotly.graph_objects.Figure`.

        Parameters
        ----------
        name : str
            A key of `figures`.
        view : int
            Which of the figure's views, in the order of the report's buttons.

        Raises
        ------
        UnknownNameError
            If the run has no such figure.
        FedliteError
            If the figure has no such view.
        """
        figures = self.figures
        if name not in figures:
            raise UnknownNameError("figure", name, list(figures))
        views = len(figures[name].views)
        if not 0 <= view < views:
            raise FedliteError(f"view: got {view}, expected 0 to {views - 1}; {name!r} has {views}")
        return figures[name].plotly(view)


def load_run(path: str | Path) -> Run:
    """Return the finished run in a directory.

    Raises
    ------
    FedliteError
        If there is none, it is not finished, or its files are damaged or of another version.
    """
    return Run(read_run(Path(path)).path)


def completed(directory: RunDirectory) -> Run:
    """Return a run whose summary is written, after what a run does last, where that has not been done yet.

    Raises
    ------
    FedliteError
        If what is there is not what a run leaves.
    """
    directory.journal.unlink(missing_ok=True)
    if not directory.report.exists():
        write_report(directory.path)
    return Run(directory.path)


def damage(directory: RunDirectory) -> DamagedRunError | None:
    """Return which file of a run that had finished is missing or damaged; None if all is there.

    Raises
    ------
    FedliteError
        If what is there is not what this version leaves.
    """
    try:
        with fitting(directory.path):
            read_run(directory.path)
        check_model(directory.path)
    except DamagedRunError as error:
        return error
    return None


def failed(directory: RunDirectory) -> Run:
    """Return a run that did not come to its end, with the report of what happened until then; its journal stays."""
    write_report(directory.path)
    return Run(directory.path)
